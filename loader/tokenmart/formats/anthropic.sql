-- Messages of Anthropic's API, and the results of its batches. The lines have no time.
create macro recognizes(line) as
    line ->> '$.type' = 'message'
    and json_exists(line, '$.usage')
    or json_exists(line, '$.custom_id')
    and json_exists(line, '$.result.type');

create type token_usage as struct(
    input_tokens json,
    cache_creation_input_tokens json,
    cache_read_input_tokens json,
    cache_creation struct(ephemeral_5m_input_tokens json, ephemeral_1h_input_tokens json),
    output_tokens json,
    output_tokens_details struct(thinking_tokens json),
    server_tool_use struct(web_search_requests json),
    service_tier varchar,
    speed varchar
);

create type event as struct(
    id varchar,
    type varchar,
    role varchar,
    model varchar,
    content json,
    usage token_usage,
    _request_id varchar,
    custom_id varchar,
    result struct(
        type varchar,
        message struct(id varchar, type varchar, role varchar, model varchar, content json, usage token_usage),
        error struct(type varchar, request_id varchar, error struct(type varchar, message varchar))
    )
);

with
    messages as (
        select
            *,
            event.result.type as result_type,
            coalesce(event.result.message.id, event.id) as id,
            coalesce(event.result.message.model, event.model) as model,
            coalesce(event.result.message.usage, event.usage) as usage
        from events
    )

select
    line_id,
    id as event_id,
    -- message ids of Claude on Bedrock and Vertex AI have prefixes; other models also offer this API
    case
        when starts_with(id, 'msg_bdrk_')
        then 'aws.bedrock'
        when starts_with(id, 'msg_vrtx_')
        then 'gcp.vertex_ai'
        when result_type is not null or model like 'claude%'
        then 'anthropic'
    end as provider,
    model,
    'chat' as operation,
    -- fast mode has prices of its own
    case
        when usage.speed = 'fast'
        then 'fast'
        else coalesce(usage.service_tier, if(result_type is not null, 'batch', null))
    end as service_tier,
    usage.input_tokens,
    usage.cache_read_input_tokens as cache_read_tokens,
    coalesce(
        usage.cache_creation_input_tokens,
        token_sum(usage.cache_creation.ephemeral_5m_input_tokens, usage.cache_creation.ephemeral_1h_input_tokens)
    ) as cache_write_tokens,
    usage.cache_creation.ephemeral_1h_input_tokens as cache_write_1h_tokens,
    usage.output_tokens,
    usage.output_tokens_details.thinking_tokens as reasoning_tokens,
    usage.server_tool_use.web_search_requests,
    'exclusive' as token_convention,
    -- only requests of a batch that succeed are billed
    case when result_type <> 'succeeded' then '0' end as reported_cost_usd,
    case
        result_type
        when 'errored'
        then 'error'
        when 'canceled'
        then 'cancelled'
        when 'expired'
        then 'timeout'
        else 'success'
    end as status,
    event.result.error.error.type as error_type,
    event.result.error.error.message as error_message,
    coalesce(event._request_id, event.result.error.request_id) as request_id,
    json_merge_patch('{}', json_object('custom_id', event.custom_id)) as tags,
    extra
from messages
where
    event.type = 'message'
    and json_type(line, '$.usage') = 'OBJECT'
    or json_type(line, '$.result.message.usage') = 'OBJECT'
    or result_type in ('errored', 'canceled', 'expired')
