{% set parts = {
    "uncached_tokens": "totals.input_tokens - coalesce(totals.cache_read_tokens, 0) - coalesce(totals.cache_write_tokens, 0)",
    "cache_read_tokens": "totals.cache_read_tokens",
    "cache_write_5m_tokens": "totals.cache_write_tokens - coalesce(totals.cache_write_1h_tokens, 0)",
    "cache_write_1h_tokens": "totals.cache_write_1h_tokens",
    "visible_tokens": "totals.output_tokens - coalesce(totals.reasoning_tokens, 0)",
    "reasoning_tokens": "totals.reasoning_tokens",
    "reported_cost_usd": "totals.reported_cost_usd",
    "water_ml": "totals.water_ml",
    "energy_wh": "totals.energy_wh",
} %}
with

    events as (
        select *
        from {{ source("tokenmart", "events") }}
        where
            is_running_total
            and _dlt_load_id in (select load_id from {{ source("tokenmart", "_dlt_loads") }} where status = 0)
    ),

    totals as (
        select
            events.*,
            row_number() over (partition by event_id order by {{ binary_collation("_dlt_load_id") }}) as delivery
        from events
    ),

    -- each token is in exactly one part
    parts as (
        select
            totals.event_id,
            totals.source_format,
            totals.session_id,
            totals.occurred_at,
            {% for part, total in parts.items() %}
                case when {{ total }} < 0 then 0 else {{ total }} end as {{ part }}{{ ',' if not loop.last }}
            {% endfor %}
        from totals
        where totals.delivery = 1
    ),

    growth as (
        select
            parts.event_id,
            {% for part in parts %}
                parts.{{ part }} - coalesce(
                    max(parts.{{ part }}) over (
                        partition by parts.source_format, parts.session_id
                        order by parts.occurred_at, {{ binary_collation("parts.event_id") }}
                        rows between unbounded preceding and 1 preceding
                    ),
                    0
                ) as {{ part }}{{ ',' if not loop.last }}
            {% endfor %}
        from parts
    ),

    added as (
        select
            growth.event_id,
            {% for part in parts %}
                case
                    when growth.{{ part }} < 0 then 0 else growth.{{ part }}
                end as {{ part }}{{ ',' if not loop.last }}
            {% endfor %}
        from growth
    ),

    -- add up the parts, so that no part increases by more than its whole
    wholes as (
        select
            added.*,
            added.cache_write_5m_tokens + coalesce(added.cache_write_1h_tokens, 0) as cache_write_tokens,
            added.visible_tokens + coalesce(added.reasoning_tokens, 0) as output_tokens
        from added
    )

select
    cast(wholes.event_id as {{ data_type("key") }}) as event_id,
    cast(
        wholes.uncached_tokens
        + coalesce(wholes.cache_read_tokens, 0)
        + coalesce(wholes.cache_write_tokens, 0) as {{ data_type("bigint") }}
    ) as input_tokens
    {% for column, type in cumulative_columns().items() if column != "input_tokens" %}
        , cast(wholes.{{ column }} as {{ data_type(type) }}) as {{ column }}
    {% endfor %}
from wholes
