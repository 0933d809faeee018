{{ table_layout(day="usage_date") }}

-- depends_on: {{ ref('request_days') }}
with requests as (select * from {{ ref("llm_requests") }} {{ where_days_changed() }})

select requests.usage_date, requests.usage_hour, {{ cost_measures("requests") }}, max(requests.batch_id) as batch_id
from requests
group by requests.usage_date, requests.usage_hour
