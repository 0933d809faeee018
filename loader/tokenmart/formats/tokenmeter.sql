-- Usage records of tokenmeter (UsageRecord), one per line. Missing fields have their default value, 0.
create macro recognizes(line) as
    json_exists(line, '$.timestamp') and (json_exists(line, '$.total_cost') or json_exists(line, '$.input_cost'));

create type event as struct(
    id varchar,
    "timestamp" varchar,
    provider varchar,
    model varchar,
    input_tokens json,
    output_tokens json,
    cache_read_tokens json,
    cache_write_tokens json,
    total_cost varchar,
    session_id varchar,
    user_id varchar,
    tags json,
    is_estimate varchar,
    water_ml varchar,
    energy_wh varchar
);

select
    line_id,
    event.id as event_id,
    event.timestamp as occurred_at,
    event.provider,
    event.model,
    coalesce(event.input_tokens, '0') as input_tokens,
    coalesce(event.cache_read_tokens, '0') as cache_read_tokens,
    coalesce(event.cache_write_tokens, '0') as cache_write_tokens,
    coalesce(event.output_tokens, '0') as output_tokens,
    case when lower(event.provider) = 'anthropic' then 'exclusive' end as token_convention,
    event.total_cost as reported_cost_usd,
    coalesce(event.is_estimate, 'false') as is_estimate,
    event.user_id,
    event.session_id,
    event.tags ->> '$.team' as team,
    event.tags ->> '$.project' as project,
    event.tags ->> '$.cost_center' as cost_center,
    coalesce(event.water_ml, '0') as water_ml,
    coalesce(event.energy_wh, '0') as energy_wh,
    event.tags,
    extra
from events
