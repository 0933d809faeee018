{{ table_layout(day="usage_date") }}

-- depends_on: {{ ref('tokenmart', 'request_days') }}
with llm_requests as (select * from {{ ref("tokenmart", "llm_requests") }} {{ filter_stale_dates() }})

select
    llm_requests.usage_date,
    llm_requests.usage_hour,
    {{ cost_measures("llm_requests") }},
    max(llm_requests.batch_id) as batch_id
from llm_requests
group by llm_requests.usage_date, llm_requests.usage_hour
