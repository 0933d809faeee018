-- Messages of claude-code-telegram, one row of its table per line. They have a cost, but no model and no tokens.
create macro recognizes(line) as
    json_exists(line, '$.message_id')
    and json_exists(line, '$.session_id')
    and json_exists(line, '$.timestamp')
    and json_exists(line, '$.cost');

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
