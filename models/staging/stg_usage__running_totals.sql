with

    totals as (
        select *, row_number() over (partition by event_id order by _dlt_load_id) as delivery
        from {{ source("raw_usage", "events") }}
        where
            is_running_total
            and _dlt_load_id in (select load_id from {{ source("raw_usage", "_dlt_loads") }} where status = 0)
    ),

    growth as (
        select
            event_id,
            {% for column in counted_columns() %}
                {{ column }} - coalesce(
                    max({{ column }}) over (
                        partition by source_format, session_id
                        order by occurred_at, event_id
                        rows between unbounded preceding and 1 preceding
                    ),
                    0
                ) as {{ column }}{{ ',' if not loop.last }}
            {% endfor %}
        from totals
        where delivery = 1
    )

select
    event_id,
    {% for column in counted_columns() %}
        case when {{ column }} < 0 then 0 else {{ column }} end as {{ column }}{{ ',' if not loop.last }}
    {% endfor %}
from growth
