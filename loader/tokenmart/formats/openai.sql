-- Responses of OpenAI's API (chat completions and responses), and the output files of its batches.
create macro recognizes(line) as
    line ->> '$.object' in ('chat.completion', 'chat.completion.chunk', 'response', 'text_completion')
    or json_exists(line, '$.custom_id')
    and json_exists(line, '$.response')
    -- the output of batches on Vertex AI also has the request
    and not json_exists(line, '$.request');

create type event as struct(
    id varchar,
    custom_id varchar,
    response struct(status_code json, request_id varchar, body json),
    error json,
    object varchar,
    created json,
    created_at json,
    model varchar,
    service_tier varchar,
    status varchar,
    incomplete_details struct(reason varchar),
    usage json,
    "user" varchar,
    safety_identifier varchar,
    conversation struct(id varchar),
    previous_response_id varchar,
    metadata json,
    choices json,
    output json,
    instructions json,
    tools json,
    text json
);

with
    bodies as (
        select *, event.custom_id is not null as is_batch, coalesce(event.response.body, line) as body from events
    ),

    parts as (
        select
            *,
            body -> '$.usage' as usage,
            coalesce(json_object_in(body -> '$.error'), json_object_in(event.error)) as error,
            body ->> '$.incomplete_details.reason' as incomplete_reason
        from bodies
    )

select
    line_id,
    coalesce(body ->> '$.id', event.id) as event_id,
    epoch_seconds(coalesce(body ->> '$.created', body ->> '$.created_at')) as occurred_at,
    'openai' as provider,
    body ->> '$.model' as model,
    -- in the output of a batch, the tier is 'default' or missing, but the batch price applies
    case when is_batch then 'batch' else body ->> '$.service_tier' end as service_tier,
    case
        body ->> '$.object' when 'response' then 'responses' when 'text_completion' then 'text_completion' else 'chat'
    end as operation,
    coalesce(usage ->> '$.prompt_tokens', usage ->> '$.input_tokens') as input_tokens,
    coalesce(
        usage ->> '$.prompt_tokens_details.cached_tokens', usage ->> '$.input_tokens_details.cached_tokens'
    ) as cache_read_tokens,
    coalesce(
        usage ->> '$.prompt_tokens_details.cache_write_tokens', usage ->> '$.input_tokens_details.cache_write_tokens'
    ) as cache_write_tokens,
    coalesce(usage ->> '$.completion_tokens', usage ->> '$.output_tokens') as output_tokens,
    coalesce(
        usage ->> '$.completion_tokens_details.reasoning_tokens', usage ->> '$.output_tokens_details.reasoning_tokens'
    ) as reasoning_tokens,
    'inclusive' as token_convention,
    coalesce(body ->> '$.user', body ->> '$.safety_identifier') as user_id,
    body ->> '$.conversation.id' as session_id,
    case
        when error is not null or incomplete_reason is not null
        then 'error'
        when body ->> '$.status' in ('failed', 'cancelled')
        then body ->> '$.status'
        else 'success'
    end as status,
    coalesce(error ->> '$.code', error ->> '$.type', incomplete_reason) as error_type,
    error ->> '$.message' as error_message,
    event.response.request_id as request_id,
    joined_json(
        'metadata',
        body -> '$.metadata',
        'openai',
        json_merge_patch(
            '{}', json_object('custom_id', event.custom_id, 'previous_response_id', body ->> '$.previous_response_id')
        )
    ) as tags,
    extra
from parts
-- only the last chunk of a stream has token counts
where json_type(usage) = 'OBJECT' or error is not null
