-- Generation records of OpenRouter, as its API returns them in `data`, one per line.
create macro recognizes(line) as
    json_exists(line, '$.native_tokens_prompt') and (json_exists(line, '$.total_cost') or json_exists(line, '$.usage'));

create type event as struct(
    id varchar,
    upstream_id varchar,
    created_at varchar,
    model varchar,
    api_type varchar,
    cancelled boolean,
    is_byok boolean,
    latency json,
    generation_time json,
    native_tokens_prompt json,
    native_tokens_completion json,
    native_tokens_reasoning json,
    native_tokens_cached json,
    total_cost json,
    upstream_inference_cost json,
    external_user varchar,
    app_id varchar,
    service_tier varchar
);

select
    line_id,
    event.id as event_id,
    utc_timestamp(event.created_at) as occurred_at,
    event.generation_time as duration_ms,
    event.latency as time_to_first_token_ms,
    'openrouter' as provider,
    event.model,
    event.service_tier,
    coalesce(event.api_type, 'chat') as operation,
    -- billed are the native counts; tokens_prompt is counted by one tokenizer for all models
    event.native_tokens_prompt as input_tokens,
    event.native_tokens_cached as cache_read_tokens,
    event.native_tokens_completion as output_tokens,
    event.native_tokens_reasoning as reasoning_tokens,
    'inclusive' as token_convention,
    -- with a key of the user's own, total_cost is only the fee, and the provider bills the tokens
    case
        when event.is_byok
        then cast(money(event.total_cost) + money(event.upstream_inference_cost) as varchar)
        else cast(event.total_cost as varchar)
    end as reported_cost_usd,
    event.external_user as user_id,
    event.app_id as app_name,
    case when event.cancelled then 'cancelled' else 'success' end as status,
    event.upstream_id as request_id,
    extra
from events
