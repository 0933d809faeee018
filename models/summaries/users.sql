{{ table_layout(keys=["user_id"]) }}

with daily as (select * from {{ ref("tokenmart", "daily_costs_by_user") }})

select
    daily.user_id,
    min(daily.first_request_at) as first_request_at,
    max(daily.last_request_at) as last_request_at,
    cast(count(distinct daily.usage_date) as {{ data_type("count") }}) as active_days,
    {{ cost_totals("daily") }}
from daily
group by daily.user_id
