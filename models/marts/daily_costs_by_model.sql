{{ table_layout(day="usage_date", keys=["provider", "model"]) }}

-- depends_on: {{ ref('tokenmart', 'request_days') }}
with

    requests as (select * from {{ ref("tokenmart", "llm_requests") }} {{ filter_stale_dates() }}),

    attributed as (select requests.*, {{ fill_unattributed(["provider", "model"], "requests") }} from requests)

select
    attributed.usage_date,
    attributed.attributed_provider as provider,
    attributed.attributed_model as model,
    {{ cost_measures("attributed") }},
    {{ cost_check_measures("attributed") }},
    max(attributed.batch_id) as batch_id
from attributed
group by attributed.usage_date, attributed.attributed_provider, attributed.attributed_model
