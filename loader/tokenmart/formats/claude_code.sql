-- Session transcripts of Claude Code. An assistant line with token usage is a request, or a snapshot of a request.
-- The message id identifies the request. The request id does not: the transcript of a side question (/btw) has copies
-- of earlier messages, as lines with isSidechain, with the same message ids and other request ids.
create macro recognizes(line) as
    json_exists(line, '$.type')
    and (json_exists(line, '$.sessionId') or json_exists(line, '$.leafUuid') or json_exists(line, '$.messageId'));

-- Most lines are prompts and tool results. The letters of "usage" may be escaped, so lines with such escapes also pass.
create macro may_be_request(line) as
    contains(line, '"usage"') or contains(line, '\u006') or contains(line, '\u007');

create type event as struct(
    type varchar,
    sessionId varchar,
    cwd varchar,
    "timestamp" varchar,
    requestId varchar,
    costUSD json,
    durationMs json,
    message struct(
        id varchar,
        role varchar,
        model varchar,
        usage struct(
            input_tokens json,
            cache_creation_input_tokens json,
            cache_read_input_tokens json,
            cache_creation struct(ephemeral_5m_input_tokens json, ephemeral_1h_input_tokens json),
            output_tokens json,
            output_tokens_details struct(thinking_tokens json),
            server_tool_use struct(web_search_requests json),
            service_tier varchar,
            speed varchar
        )
    )
);

-- An assistant line reports a call, and a user line its result.
create view tool_calls as
with
    parts as (
        select line_id, json_extract(line, ['$.timestamp', '$.sessionId', '$.cwd', '$.message.content']) as values
        from lines
        where contains(line, '"tool_use') or contains(line, '"tool_result')
    ),

    blocks as (
        select
            line_id,
            values[1] as reported_at,
            values[2] as session_id,
            values[3] as project,
            unnest(cast(case when json_type(values[4]) = 'ARRAY' then values[4] else '[]' end as json[])) as block
        from parts
    ),

    typed as (select *, block ->> '$.type' as type from blocks)

select
    line_id,
    case when type = 'tool_use' then block ->> '$.id' else block ->> '$.tool_use_id' end as tool_call_id,
    block ->> '$.name' as tool_name,
    case when type = 'tool_use' then reported_at end as started_at,
    case when type = 'tool_result' then reported_at end as finished_at,
    case
        when type = 'tool_result' then case when block ->> '$.is_error' = 'true' then 'error' else 'success' end
    end as status,
    strlen(block -> '$.input') as arguments_bytes,
    strlen(block -> '$.content') as result_bytes,
    session_id,
    project,
    'claude-code' as app_name
from typed
where type in ('tool_use', 'tool_result');

select
    line_id,
    coalesce(event.message.id, line ->> '$.uuid') as event_id,
    event.timestamp as occurred_at,
    event.durationMs as duration_ms,
    -- message ids of Claude on Bedrock and Vertex AI have prefixes; Claude Code can also be connected to other models
    case
        when starts_with(event.message.id, 'msg_bdrk_')
        then 'aws.bedrock'
        when starts_with(event.message.id, 'msg_vrtx_') or event.message.model like 'claude%@%'
        then 'gcp.vertex_ai'
        when event.message.model like 'claude%'
        then 'anthropic'
    end as provider,
    event.message.model,
    'chat' as operation,
    -- fast mode has prices of its own
    case when event.message.usage.speed = 'fast' then 'fast' else event.message.usage.service_tier end as service_tier,
    event.message.usage.input_tokens,
    event.message.usage.cache_read_input_tokens as cache_read_tokens,
    coalesce(
        event.message.usage.cache_creation_input_tokens,
        token_sum(
            event.message.usage.cache_creation.ephemeral_5m_input_tokens,
            event.message.usage.cache_creation.ephemeral_1h_input_tokens
        )
    ) as cache_write_tokens,
    event.message.usage.cache_creation.ephemeral_1h_input_tokens as cache_write_1h_tokens,
    event.message.usage.output_tokens,
    event.message.usage.output_tokens_details.thinking_tokens as reasoning_tokens,
    event.message.usage.server_tool_use.web_search_requests,
    'exclusive' as token_convention,
    event.costUSD as reported_cost_usd,
    event.sessionId as session_id,
    event.cwd as project,
    'claude-code' as app_name,
    'success' as status,
    event.requestId as request_id,
    extra
from events
where
    event.type = 'assistant'
    and json_type(line, '$.message.usage') = 'OBJECT'
    and event.message.model is distinct from '<synthetic>'
