-- Requests to Gemini and Claude on Vertex AI: rows of its request-response logging, and the output of its batches.
--
-- The logging can be set to log only a sample of the requests. The costs are then those of the sample.
--
-- Seen in real logs: the columns of the logging with Gemini's response, and the output of Gemini's batches. Only
-- documented: Claude's rows and batches (their usage is that of Anthropic's API), the values of trafficType other than
-- ON_DEMAND, and error as the response. Not known is how a stream is logged: if the response is an array of chunks, its
-- last chunk counts.
create macro recognizes(line) as
    json_exists(line, '$.logging_time')
    and json_exists(line, '$.full_response')
    or json_exists(line, '$.request')
    and json_exists(line, '$.status')
    and (json_exists(line, '$.processed_time') or json_exists(line, '$.custom_id') and json_exists(line, '$.response'));

-- the value x, or the one in the text x: exports of BigQuery have columns of type JSON as texts
create macro json_in(x) as
    case
        when json_type(x) <> 'VARCHAR' then x when json_valid(x ->> '$') then cast(x ->> '$' as json)
    end;

create macro last_of(x) as case when json_type(x) = 'ARRAY' then x -> '$[#-1]' else x end;

create type event as struct(
    endpoint varchar,
    logging_time varchar,
    request_id varchar,
    request_payload json,
    response_payload json,
    model varchar,
    api_method varchar,
    full_request json,
    full_response json,
    metadata json,
    otel_log json,
    custom_id varchar,
    request json,
    response json,
    status varchar,
    processed_time varchar
);

with
    bodies as (
        select
            *,
            event.logging_time is null as is_batch,
            json_in(coalesce(event.full_request, event.request)) as request,
            last_of(json_in(coalesce(event.full_response, event.response))) as response
        from events
    ),

    parts as (
        select
            *,
            coalesce(json_object_in(response -> '$.usageMetadata'), json_object_in(response -> '$.usage')) as usage,
            -- projects/<project>/locations/<region>/publishers/google/models/gemini-2.5-pro
            concat_ws(' ', request ->> '$.model', request ->> '$.endpoint', event.endpoint, event.model) as names,
            nullif(event.status, '') as failure
        from bodies
    ),

    errors as (
        select
            *,
            -- Bad Request: {"error": {"code": 400, "status": "INVALID_ARGUMENT", "message": "..."}}
            coalesce(response -> '$.error', try(cast(regexp_extract(failure, '\{.*\}') as json)) -> '$.error') as error,
            is_batch and usage is null or coalesce(json_type(response -> '$.error') = 'OBJECT', false) as has_failed
        from parts
    )

select
    line_id,
    coalesce(event.request_id, response ->> '$.responseId', response ->> '$.id') as event_id,
    -- logging_time is the end of the request
    utc_timestamp(
        regexp_replace(coalesce(response ->> '$.createTime', event.logging_time, event.processed_time), ' UTC$', 'Z')
    ) as occurred_at,
    json_in(event.metadata) -> '$.request_latency' as duration_ms,
    'gcp.vertex_ai' as provider,
    coalesce(
        regexp_replace(response ->> '$.modelVersion', '@default$', ''),
        response ->> '$.model',
        nullif(regexp_extract(event.model, 'publishers/[^/]+/models/(.+)$', 1), '')
    ) as model,
    nullif(regexp_extract(coalesce(event.model, request ->> '$.model'), '[^/]+$'), '') as requested_model,
    nullif(regexp_extract(names, 'locations/([^/ ]+)', 1), '') as region,
    -- Provisioned throughput is paid by time. It has no price per token, so its cost is that of the standard tier,
    -- unless price_overrides has a row for it. The response of a batch says ON_DEMAND, but the batch price applies.
    case
        when is_batch
        then 'batch'
        else
            coalesce(
                nullif(regexp_replace(lower(usage ->> '$.trafficType'), '^on_demand_', ''), 'traffic_type_unspecified'),
                usage ->> '$.service_tier'
            )
    end as service_tier,
    event.api_method as operation,
    event.endpoint,
    -- Gemini counts the results of its own tools in addition to the prompt
    coalesce(
        token_sum(usage ->> '$.promptTokenCount', usage ->> '$.toolUsePromptTokenCount'), usage ->> '$.input_tokens'
    ) as input_tokens,
    coalesce(usage ->> '$.cachedContentTokenCount', usage ->> '$.cache_read_input_tokens') as cache_read_tokens,
    usage ->> '$.cache_creation_input_tokens' as cache_write_tokens,
    usage ->> '$.cache_creation.ephemeral_1h_input_tokens' as cache_write_1h_tokens,
    -- Gemini's candidates do not include its thoughts; Claude's output does
    coalesce(
        token_sum(usage ->> '$.candidatesTokenCount', usage ->> '$.thoughtsTokenCount'), usage ->> '$.output_tokens'
    ) as output_tokens,
    coalesce(usage ->> '$.thoughtsTokenCount', usage ->> '$.output_tokens_details.thinking_tokens') as reasoning_tokens,
    usage ->> '$.server_tool_use.web_search_requests' as web_search_requests,
    case when json_exists(usage, '$.input_tokens') then 'exclusive' else 'inclusive' end as token_convention,
    request ->> '$.labels.team' as team,
    nullif(regexp_extract(names, 'projects/([^/ ]+)', 1), '') as project,
    case when has_failed then 'error' else 'success' end as status,
    case
        when has_failed
        then coalesce(error ->> '$.status', error ->> '$.type', error ->> '$.code', split_part(failure, ':', 1))
    end as error_type,
    case when has_failed then coalesce(error ->> '$.message', failure) end as error_message,
    coalesce(response ->> '$.responseId', response ->> '$.id', event.request_id) as request_id,
    joined_json(
        'labels',
        request -> '$.labels',
        'vertex',
        nullif(json_merge_patch('{}', json_object('custom_id', event.custom_id)), '{}')
    ) as tags,
    extra
from errors
-- without a status, a request of a batch has no result
where not is_batch or failure is not null or usage is not null
