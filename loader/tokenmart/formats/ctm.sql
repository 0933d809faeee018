-- Cost points of ctm. Each line is the running total of a session, not an increment.
create macro recognizes(line) as
    json_exists(line, '$.cost_usd_micros') and json_exists(line, '$.ts') and json_exists(line, '$.session');

create type event as struct(
    ts json,
    session varchar,
    input_tokens json,
    output_tokens json,
    cache_tokens json,
    cost_usd_micros json
);

select
    line_id,
    epoch_milliseconds(event.ts) as occurred_at,
    event.session as session_id,
    event.input_tokens,
    event.cache_tokens as cache_read_tokens,
    event.output_tokens,
    'exclusive' as token_convention,
    true as is_running_total,
    micros(event.cost_usd_micros) as reported_cost_usd,
    extra
from events
