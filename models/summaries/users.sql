{{ table_layout(keys=["user_id"], replaced_by="user_id") }}

with
    daily as (select * from {{ ref("tokenmart", "daily_costs_by_user") }}),

    stale as ({{ keys_to_build("user_id", ref("tokenmart", "daily_costs_by_user")) }})

select
    stale.user_id,
    min(daily.first_request_at) as first_request_at,
    max(daily.last_request_at) as last_request_at,
    cast(count(distinct daily.usage_date) as {{ data_type("count") }}) as active_days,
    {{ cost_totals("daily") }},
    max(daily.batch_id) as batch_id
from stale
inner join daily on stale.user_id = daily.user_id
group by stale.user_id
