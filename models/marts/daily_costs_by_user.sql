{{ table_layout(day="usage_date", keys=["user_id"]) }}

-- depends_on: {{ ref('tokenmart', 'request_days') }}
with

    requests as (select * from {{ ref("tokenmart", "llm_requests") }} {{ filter_stale_dates() }}),

    attributed as (select requests.*, {{ fill_unattributed(["user_id"], "requests", "key") }} from requests)

select
    attributed.usage_date,
    attributed.attributed_user_id as user_id,
    min(attributed.occurred_at) as first_request_at,
    max(attributed.occurred_at) as last_request_at,
    {{ cost_measures("attributed") }},
    max(attributed.batch_id) as batch_id
from attributed
group by attributed.usage_date, attributed.attributed_user_id
