with

    totals as (
        select
            event_id,
            source_format,
            session_id,
            occurred_at,
            input_tokens,
            cache_read_tokens,
            cache_write_tokens,
            cache_write_1h_tokens,
            output_tokens,
            reasoning_tokens,
            reported_cost_usd,
            water_ml,
            energy_wh,
            row_number() over (partition by event_id order by _dlt_load_id) as delivery
        from {{ source("raw_usage", "events") }}
        where
            is_running_total
            and _dlt_load_id in (select load_id from {{ source("raw_usage", "_dlt_loads") }} where status = 0)
    ),

    growth as (
        select
            event_id,
            {% for measure in [
                "input_tokens",
                "cache_read_tokens",
                "cache_write_tokens",
                "cache_write_1h_tokens",
                "output_tokens",
                "reasoning_tokens",
                "reported_cost_usd",
                "water_ml",
                "energy_wh",
            ] %}
                {{ measure }} - coalesce(max({{ measure }}) over before, 0) as {{ measure }}{{ ',' if not loop.last }}
            {% endfor %}
        from totals
        where delivery = 1
        window
            before as (
                partition by source_format, session_id
                order by occurred_at, event_id
                rows between unbounded preceding and 1 preceding
            )
    )

select
    event_id,
    {% for measure in [
        "input_tokens",
        "cache_read_tokens",
        "cache_write_tokens",
        "cache_write_1h_tokens",
        "output_tokens",
        "reasoning_tokens",
        "reported_cost_usd",
        "water_ml",
        "energy_wh",
    ] %}
        case when {{ measure }} < 0 then 0 else {{ measure }} end as {{ measure }}{{ ',' if not loop.last }}
    {% endfor %}
from growth
