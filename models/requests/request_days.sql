{{ table_layout(day="usage_date", lookups=["batch_id"]) }}

{% if is_incremental() %}
    {# includes the newest run's days and days with two rows: another run may have counted them at the same time #}
    {% set newest = first_column(
        "select distinct batch_id from " ~ this ~ " where batch_id > 0 order by batch_id desc limit 2"
    ) %}
    {% set is_written = in_spans_written_since((newest | last | default(0)) | int) %}
    {% set doubled = days_of("select usage_date from " ~ this ~ " group by usage_date having count(*) > 1") %}
    {% set is_written = "(" ~ is_written ~ " or " ~ in_days(doubled) ~ ")" %}
{% endif %}

with

    counted as (
        select usage_date, 1 as requests, case when status <> 'success' then 1 else 0 end as failed_requests, batch_id
        from {{ ref("tokenmart", "llm_requests") }}
        {% if is_incremental() %}
            where {{ is_written }}
            union all
            -- a day that is empty now stays, with 0 requests
            select usage_date, 0 as requests, 0 as failed_requests, cast(0 as {{ data_type("count") }}) as batch_id
            from {{ this }}
            where {{ is_written }}
        {% endif %}
    )

select
    counted.usage_date,
    cast(sum(counted.requests) as {{ data_type("count") }}) as requests,
    cast(sum(counted.failed_requests) as {{ data_type("count") }}) as failed_requests,
    max(counted.batch_id) as batch_id
from counted
group by counted.usage_date
