-- Messages and tool calls of claude-code-telegram, as rows of its tables. Messages have a cost, but no model.
create macro recognizes(line) as
    json_exists(line, '$.message_id')
    and json_exists(line, '$.session_id')
    and json_exists(line, '$.timestamp')
    and json_exists(line, '$.cost')
    or json_exists(line, '$.tool_name')
    and json_exists(line, '$.session_id')
    and json_exists(line, '$.timestamp')
    and json_exists(line, '$.success');

create type event as struct(
    message_id varchar,
    session_id varchar,
    user_id varchar,
    "timestamp" varchar,
    prompt json,
    response json,
    cost json,
    duration_ms json,
    error varchar
);

-- rows of the table tool_usage
create view tool_calls as
select
    line_id,
    (line ->> '$.session_id') || '/' || (line ->> '$.id') as tool_call_id,
    line ->> '$.tool_name' as tool_name,
    utc_timestamp(line ->> '$.timestamp') as started_at,
    case when line ->> '$.success' in ('1', 'true') then 'success' else 'error' end as status,
    line ->> '$.session_id' as session_id,
    line ->> '$.user_id' as user_id,
    'claude-code-telegram' as app_name
from lines
where json_exists(line, '$.tool_name');

select
    line_id,
    -- message ids count from 1 in every database
    event.session_id || '/' || event.message_id as event_id,
    utc_timestamp(event.timestamp) as occurred_at,
    event.duration_ms,
    'chat' as operation,
    -- 0 is the default of the column
    case when money(event.cost) <> 0 then event.cost end as reported_cost_usd,
    event.user_id,
    event.session_id,
    'claude-code-telegram' as app_name,
    case when event.error <> '' then 'error' else 'success' end as status,
    event.error as error_type,
    extra
from events
where not json_exists(line, '$.tool_name')
