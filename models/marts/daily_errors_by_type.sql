{{ table_layout(day="usage_date", keys=["provider", "model"]) }}

-- depends_on: {{ ref('tokenmart', 'request_days') }}
{% set dimensions = ["provider", "model", "error_type", "error_message"] %}
with

    requests as (
        -- the newest batch_id of all requests of the date, not only of failures, because request_days has the same
        select *, max(batch_id) over (partition by usage_date) as day_batch_id
        from {{ ref("tokenmart", "llm_requests") }} {{ filter_stale_dates() }}
    ),

    failures as (
        select
            requests.*,
            {{ fill_unattributed(dimensions[:3], "requests") }},
            {{ fill_unattributed(["error_message"], "requests", "key") }}
        from requests
        where status <> 'success'
    )

select
    failures.usage_date,
    {% for dimension in dimensions %} failures.attributed_{{ dimension }} as {{ dimension }}, {% endfor %}
    cast(count(*) as {{ data_type("count") }}) as failed_requests,
    {{ count_of_status("failures", "error") }} as errors,
    {{ count_of_status("failures", "timeout") }} as timeouts,
    max(failures.day_batch_id) as batch_id
from failures
group by failures.usage_date {%- for dimension in dimensions %}, failures.attributed_{{ dimension }} {%- endfor %}
