-- Requests of Helicone, as its API and its export tool return them, one per line.
-- What the fields mean is taken from Helicone's source code, not from real exports. Its status codes are -1 (timeout),
-- -2 and 0 (pending), -3 (cancelled) and -4 (threat). prompt_tokens leaves out tokens that were read from a cache, for
-- all providers; only early versions include them for responses of OpenAI that were not streamed. total_tokens does not
-- show the difference, because it is always prompt_tokens + completion_tokens.
create macro recognizes(line) as json_exists(line, '$.request_id') and json_exists(line, '$.request_created_at');

-- Helicone writes '', and for some fields 'undefined', 'null' or 'unknown', if there is no value
create macro given(x) as case when x not in ('', 'undefined', 'null', 'unknown') then x end;

-- the names of properties have the case in which the application sends them
create macro property(properties, name) as
    coalesce(properties ->> ('$.' || name), properties ->> ('$.' || upper(name[1]) || name[2:]));

-- a count of -1 is unknown, and so is 0 if the response is not complete
create macro known_count(x, status) as
    case when x is distinct from '-1' and (status = 'success' or x is distinct from '0') then x end;

create type event as struct(
    request_id varchar,
    request_created_at varchar,
    response_created_at varchar,
    response_status varchar,
    request_model varchar,
    response_model varchar,
    model_override varchar,
    model varchar,
    provider varchar,
    delay_ms varchar,
    time_to_first_token varchar,
    prompt_tokens varchar,
    prompt_cache_read_tokens varchar,
    prompt_cache_write_tokens varchar,
    completion_tokens varchar,
    reasoning_tokens varchar,
    total_tokens varchar,
    request_user_id varchar,
    request_properties json,
    properties json,
    request_path varchar,
    target_url varchar,
    cache_reference_id varchar,
    cost varchar,
    costUSD varchar,
    updated_at varchar,
    request_body json,
    response_body json,
    signed_body_url json,
    asset_urls json,
    llmSchema json
);

with
    parts as (
        select
            *,
            coalesce(
                nullif(given(event.cache_reference_id), '00000000-0000-0000-0000-000000000000') is not null, false
            ) as is_cache_hit,
            json_object_in(coalesce(event.request_properties, event.properties)) as properties,
            try_cast(event.response_status as integer) as code,
            coalesce(event.costUSD, event.cost) as cost,
            -- the query can contain an API key
            regexp_extract(coalesce(given(event.request_path), given(event.target_url)), '^[^?#]*') as endpoint
        from events
    ),

    requests as (
        select
            *,
            case
                when coalesce(code, 0) in (0, -2)
                then 'pending'
                when code = -1
                then 'timeout'
                when code = -3
                then 'cancelled'
                when code between 100 and 399
                then 'success'
                else 'error'
            end as status
        from parts
    )

select
    line_id,
    event.request_id as event_id,
    utc_timestamp(event.request_created_at) as occurred_at,
    event.delay_ms as duration_ms,
    -- 0 if the response was not streamed
    case when number(event.time_to_first_token) <> 0 then event.time_to_first_token end as time_to_first_token_ms,
    case when lower(event.provider) <> 'custom' then event.provider end as provider,
    coalesce(
        given(event.model_override), given(event.response_model), given(event.request_model), given(event.model)
    ) as model,
    given(event.request_model) as requested_model,
    case
        when contains(endpoint, '/embeddings')
        then 'embeddings'
        when regexp_matches(endpoint, '/(chat/completions|messages|responses)')
        then 'chat'
    end as operation,
    endpoint,
    known_count(event.prompt_tokens, status) as input_tokens,
    known_count(event.prompt_cache_read_tokens, status) as cache_read_tokens,
    known_count(event.prompt_cache_write_tokens, status) as cache_write_tokens,
    -- lines that have reasoning_tokens do not count them as completion_tokens
    token_sum(
        known_count(event.completion_tokens, status), known_count(event.reasoning_tokens, status)
    ) as output_tokens,
    known_count(event.reasoning_tokens, status) as reasoning_tokens,
    'exclusive' as token_convention,
    epoch_us(try_cast(utc_timestamp(event.updated_at) as timestamptz)) as snapshot_version,
    -- a cost of 0 is unknown, except that responses from Helicone's cache are not billed
    case when is_cache_hit then '0' when money(cost) <> 0 then cost end as reported_cost_usd,
    case when is_cache_hit then false end as is_billed,
    given(event.request_user_id) as user_id,
    properties ->> '$.Helicone-Session-Id' as session_id,
    property(properties, 'team') as team,
    property(properties, 'project') as project,
    property(properties, 'environment') as environment,
    status,
    case when status = 'error' then if(code = -4, 'threat', cast(code as varchar)) end as error_type,
    case when status = 'error' then json_object_in(event.response_body) ->> '$.error.message' end as error_message,
    event.request_id,
    properties as tags,
    extra
from requests
