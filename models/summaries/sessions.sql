{{ table_layout(keys=["session_id"], replaced_by="session_id") }}

with
    daily as (select * from {{ ref("tokenmart", "daily_costs_by_session") }}),

    stale as ({{ keys_to_build("session_id", ref("tokenmart", "daily_costs_by_session")) }})

select
    stale.session_id,
    min(daily.first_request_at) as first_request_at,
    max(daily.last_request_at) as last_request_at,
    cast(
        count(distinct case when daily.user_id <> 'unattributed' then daily.user_id end) as {{ data_type("count") }}
    ) as users,
    {{ cost_totals("daily") }},
    max(daily.batch_id) as batch_id
from stale
inner join daily on stale.session_id = daily.session_id
group by stale.session_id
