{{ table_layout(day="usage_date") }}

-- depends_on: {{ ref('tokenmart', 'request_days') }}
with llm_requests as (select * from {{ ref("tokenmart", "llm_requests") }} {{ filter_stale_dates() }})

select
    llm_requests.usage_date,
    cast(count(*) as {{ data_type("count") }}) as requests,
    {{ duration_measures("llm_requests", "duration_ms") }},
    {{ duration_measures("llm_requests", "time_to_first_token_ms") }},
    max(llm_requests.batch_id) as batch_id
from llm_requests
group by llm_requests.usage_date
