{{ table_layout(day="usage_date", keys=["team", "project"]) }}

-- depends_on: {{ ref('tokenmart', 'request_days') }}
{% set dimensions = ["organization_id", "team", "project", "cost_center", "app_name", "environment", "feature"] %}
with

    requests as (select * from {{ ref("tokenmart", "llm_requests") }} {{ filter_stale_dates() }}),

    attributed as (select requests.*, {{ fill_unattributed(dimensions, "requests") }} from requests)

select
    attributed.usage_date,
    {% for dimension in dimensions %} attributed.attributed_{{ dimension }} as {{ dimension }}, {% endfor %}
    {{ cost_measures("attributed") }},
    max(attributed.batch_id) as batch_id
from attributed
group by attributed.usage_date {%- for dimension in dimensions %}, attributed.attributed_{{ dimension }} {%- endfor %}
