-- Messages of opencode, one JSON object per line. A message is written again while it grows.
create macro recognizes(line) as json_exists(line, '$.modelID') and json_exists(line, '$.tokens.cache');

create type event as struct(
    id varchar,
    sessionID varchar,
    role varchar,
    "time" struct(created json, completed json),
    modelID varchar,
    providerID varchar,
    agent varchar,
    path struct(cwd varchar),
    cost json,
    tokens struct(
        total json, input json, output json, reasoning json, cache struct(read json, write json)
    ),
    error struct(name varchar, data struct(message varchar))
);

with
    parts as (
        select
            *,
            -- some versions count reasoning in addition to the output, others in the output: the total tells
            tokens(event.tokens.total)
            is distinct from tokens(event.tokens.input)
            + tokens(event.tokens.output)
            + tokens(event.tokens.cache.read)
            + tokens(event.tokens.cache.write) as adds_reasoning
        from events
    )

select
    line_id,
    event.id as event_id,
    epoch_milliseconds(event.time.created) as occurred_at,
    try_cast(event.time.completed as bigint) - try_cast(event.time.created as bigint) as duration_ms,
    event.providerID as provider,
    event.modelID as model,
    'chat' as operation,
    event.tokens.input as input_tokens,
    event.tokens.cache.read as cache_read_tokens,
    event.tokens.cache.write as cache_write_tokens,
    case
        when adds_reasoning then token_sum(event.tokens.output, event.tokens.reasoning) else event.tokens.output
    end as output_tokens,
    event.tokens.reasoning as reasoning_tokens,
    'exclusive' as token_convention,
    -- a cost of 0 is a subscription, a free model or an unknown price
    case when money(event.cost) <> 0 then event.cost end as reported_cost_usd,
    event.sessionID as session_id,
    event.path.cwd as project,
    'opencode' as app_name,
    event.agent as component,
    case
        when event.error.name = 'MessageAbortedError'
        then 'cancelled'
        when event.error.name is not null
        then 'error'
        else 'success'
    end as status,
    event.error.name as error_type,
    event.error.data.message as error_message,
    extra
from parts
where event.role = 'assistant'
