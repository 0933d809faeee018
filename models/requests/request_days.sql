{{ table_layout(day="usage_date") }}

{% if is_incremental() %} {% set dates = uncounted_dates() %} {% do limit_write_to(dates) %} {% endif %}
with

    counted as (
        select usage_date, 1 as requests, case when status <> 'success' then 1 else 0 end as failed_requests, batch_id
        from {{ ref("tokenmart", "llm_requests") }}
        {% if is_incremental() %} where {{ in_dates(dates) }} {% endif %}
        union all
        -- a date without requests has a row, with 0 requests
        select usage_date, 0 as requests, 0 as failed_requests, cast(0 as {{ data_type("count") }}) as batch_id
        from {{ ref("tokenmart", "affected_dates") }}
        {% if is_incremental() %}
            where {{ in_dates(dates) }}
            union all
            select usage_date, 0 as requests, 0 as failed_requests, cast(0 as {{ data_type("count") }}) as batch_id
            from {{ this }}
            where {{ in_dates(dates) }}
        {% endif %}
    )

select
    counted.usage_date,
    cast(sum(counted.requests) as {{ data_type("count") }}) as requests,
    cast(sum(counted.failed_requests) as {{ data_type("count") }}) as failed_requests,
    max(counted.batch_id) as batch_id
from counted
group by counted.usage_date
