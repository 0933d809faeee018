-- Requests of the LiteLLM proxy: logged payloads (StandardLoggingPayload) and rows of LiteLLM_SpendLogs.
create macro recognizes(line) as
    json_exists(line, '$.litellm_call_id')
    or json_exists(line, '$.call_type')
    and json_exists(line, '$.prompt_tokens')
    and (json_exists(line, '$.response_cost') or json_exists(line, '$.spend'));

-- LiteLLM writes null, '' or 'None' if there is no value
create macro given(x) as nullif(nullif(x, ''), 'None');

-- a tag is a text such as env:prod
create macro tag_name(tag) as regexp_extract(tag, '^[^:]*');
create macro tag_value(tag) as if(contains(tag, ':'), regexp_extract(tag, ':(.*)$', 1), 'true');

create type event as struct(
    id varchar,
    request_id varchar,
    litellm_call_id varchar,
    trace_id varchar,
    session_id varchar,
    call_type varchar,
    cache_hit varchar,
    status varchar,
    custom_llm_provider varchar,
    startTime varchar,
    endTime varchar,
    completionStartTime varchar,
    stream varchar,
    model varchar,
    model_group varchar,
    api_base varchar,
    response_cost json,
    spend json,
    prompt_tokens json,
    completion_tokens json,
    end_user varchar,
    "user" varchar,
    team_id varchar,
    organization_id varchar,
    request_tags json,
    metadata json,
    cost_breakdown json,
    error_information json,
    error_str varchar,
    messages json,
    response json
);

with
    parts as (
        select
            *,
            -- in exports of SpendLogs, these are texts that contain JSON
            json_transform(json_object_in(event.metadata), '{
                "user_api_key_alias": "VARCHAR",
                "user_api_key_user_id": "VARCHAR",
                "user_api_key_org_id": "VARCHAR",
                "user_api_key_team_id": "VARCHAR",
                "user_api_key_team_alias": "VARCHAR",
                "user_api_key_project_alias": "VARCHAR",
                "cost_breakdown": {"service_tier": "VARCHAR"},
                "usage_object": "JSON",
                "error_information": "JSON"
            }') as metadata,
            utc_timestamp(epoch_seconds(event.startTime)) as started_at,
            utc_timestamp(epoch_seconds(event.endTime)) as ended_at,
            utc_timestamp(epoch_seconds(event.completionStartTime)) as first_token_at,
            lower(event.cache_hit) = 'true' as is_cache_hit,
            event.status = 'failure' as has_failed,
            from_json(coalesce(event.request_tags ->> '$', '[]'), '["varchar"]') as tags
        from events
    ),

    usages as (
        select
            *,
            coalesce(json_object_in(metadata.usage_object), json_object_in(event.response -> '$.usage')) as usage,
            coalesce(json_object_in(event.error_information), json_object_in(metadata.error_information)) as error
        from parts
    )

select
    line_id,
    coalesce(given(event.id), given(event.request_id)) as event_id,
    started_at as occurred_at,
    date_diff('microsecond', try_cast(started_at as timestamptz), try_cast(ended_at as timestamptz))
    / 1000 as duration_ms,
    case
        when lower(event.stream) = 'true'
        then
            date_diff('microsecond', try_cast(started_at as timestamptz), try_cast(first_token_at as timestamptz))
            / 1000
    end as time_to_first_token_ms,
    given(event.custom_llm_provider) as provider,
    given(event.model) as model,
    given(event.model_group) as requested_model,
    coalesce(
        given(metadata.cost_breakdown.service_tier), given(event.cost_breakdown ->> '$.service_tier')
    ) as service_tier,
    given(event.call_type) as operation,
    given(event.api_base) as endpoint,
    case when not coalesce(has_failed, false) then event.prompt_tokens end as input_tokens,
    coalesce(
        usage ->> '$.prompt_tokens_details.cached_tokens', usage ->> '$.cache_read_input_tokens'
    ) as cache_read_tokens,
    coalesce(
        usage ->> '$.prompt_tokens_details.cache_creation_tokens', usage ->> '$.cache_creation_input_tokens'
    ) as cache_write_tokens,
    usage ->> '$.prompt_tokens_details.cache_creation_token_details.ephemeral_1h_input_tokens' as cache_write_1h_tokens,
    case when not coalesce(has_failed, false) then event.completion_tokens end as output_tokens,
    usage ->> '$.completion_tokens_details.reasoning_tokens' as reasoning_tokens,
    -- LiteLLM adds Anthropic's cached tokens to its input tokens
    'inclusive' as token_convention,
    -- a cost of 0 is unknown, except that responses from LiteLLM's cache are not billed
    case
        when is_cache_hit or money(coalesce(event.response_cost, event.spend)) <> 0
        then coalesce(event.response_cost, event.spend)
    end as reported_cost_usd,
    case when is_cache_hit then false end as is_billed,
    coalesce(given(metadata.user_api_key_user_id), given(event.user), given(event.end_user)) as user_id,
    given(event.session_id) as session_id,
    coalesce(given(metadata.user_api_key_org_id), given(event.organization_id)) as organization_id,
    coalesce(
        given(metadata.user_api_key_team_alias), given(metadata.user_api_key_team_id), given(event.team_id)
    ) as team,
    given(metadata.user_api_key_project_alias) as project,
    'litellm' as app_name,
    case when has_failed then 'error' else 'success' end as status,
    case
        when has_failed then coalesce(given(error ->> '$.error_class'), given(error ->> '$.error_code'))
    end as error_type,
    case when has_failed then coalesce(given(error ->> '$.error_message'), given(event.error_str)) end as error_message,
    given(event.litellm_call_id) as request_id,
    given(event.trace_id) as trace_id,
    joined_json(
        'request_tags',
        to_json(
            map_from_entries(
                [
                    {'key':name, 'value':tag_value([tag for tag in tags if tag_name(tag) = name][1])}
                    for name in list_distinct([tag_name(tag) for tag in tags])
                ]
            )
        ),
        'litellm',
        json_merge_patch(
            '{}', json_object('key_alias', given(metadata.user_api_key_alias), 'end_user', given(event.end_user))
        )
    ) as tags,
    extra
from usages
