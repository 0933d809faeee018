with

    totals as (
        select *, row_number() over (partition by event_id order by {{ byte_order("_dlt_load_id") }}) as delivery
        from {{ source("raw_usage", "events") }}
        where
            is_running_total
            and _dlt_load_id in (select load_id from {{ source("raw_usage", "_dlt_loads") }} where status = 0)
    ),

    growth as (
        select
            totals.event_id,
            {% for column in counted_columns() %}
                totals.{{ column }} - coalesce(
                    max(totals.{{ column }}) over (
                        partition by totals.source_format, totals.session_id
                        order by totals.occurred_at, {{ byte_order("totals.event_id") }}
                        rows between unbounded preceding and 1 preceding
                    ),
                    0
                ) as {{ column }}{{ ',' if not loop.last }}
            {% endfor %}
        from totals
        where totals.delivery = 1
    )

select
    cast(growth.event_id as {{ data_type("key") }}) as event_id,
    {% for column, type in counted_columns().items() %}
        cast(
            case when growth.{{ column }} < 0 then 0 else growth.{{ column }} end as {{ data_type(type) }}
        ) as {{ column }}{{ ',' if not loop.last }}
    {% endfor %}
from growth
