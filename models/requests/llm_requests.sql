{{ table_layout(day="usage_date", time="occurred_at", keys=["user_id", "model"], lookups=["event_id", "batch_id"]) }}

-- depends_on: {{ ref('tokenmart', 'loads') }} {{ ref('tokenmart', 'build_settings') }}
{% do check_variables() %}
{% set measures = [
    "output_tokens",
    "input_tokens",
    "reported_cost_usd",
    "duration_ms",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "reasoning_tokens",
    "time_to_first_token_ms",
    "water_ml",
    "energy_wh",
] %}
{% set texts = [
    "provider",
    "model",
    "requested_model",
    "region",
    "service_tier",
    "operation",
    "endpoint",
    "token_convention",
    "status",
    "error_type",
    "error_message",
    "user_id",
    "session_id",
    "organization_id",
    "team",
    "project",
    "cost_center",
    "app_name",
    "environment",
    "feature",
    "page",
    "component",
    "request_id",
    "trace_id",
    "span_id",
    "parent_span_id",
    "tags",
    "source_format",
] %}
{% set columns = (
    ["event_id", "occurred_at", "usage_date", "usage_hour"]
    + texts
    + measures
    + ["is_running_total", "is_estimate", "loaded_at", "load_id"]
) | join(", ") %}
{% set batch = this_batch() %}
{% if is_incremental() %}
    {% do refuse_stale_requests() %}
    {% set loads = new_loads() %}
    {% do config.get("meta").update(new_loads=loads) %}
    {% set is_delivered = is_delivered_by(loads) %}
    {% set is_again = (
        "event_id in (select event_id from "
        ~ ref("tokenmart", "stg_usage__events")
        ~ " where "
        ~ is_delivered
        ~ ")"
    ) %}
    {% set days = days_to_write(is_delivered, is_again) if loads else [] %}
    {% do write_bounds(days, time="occurred_at") %}
{% endif %}

with

    delivered as (
        select
            {{ columns }},
            usage_date as first_usage_date,
            usage_date as last_usage_date,
            cast({{ batch }} as {{ data_type("count") }}) as batch_id
        from {{ ref("tokenmart", "stg_usage__events") }}
        {% if is_incremental() %}
            where
                {{ is_delivered }} {% if first_kept_day() %} and usage_date >= date '{{ first_kept_day() }}' {% endif %}
            union all
            select
                {{ columns }},
                first_usage_date,
                last_usage_date,
                {# replaces the rows that two runs have written at the same time #}
                {% if new_loads(is_taken_twice=true) %} cast({{ batch }} as {{ data_type("count") }}) as batch_id
                {% else %} batch_id
                {% endif %}
            from {{ this }}
            where {{ in_days(days) }} and {{ is_again }}
        {% elif first_kept_day() %} where usage_date >= date '{{ first_kept_day() }}'
        {% endif %}
    ),

    -- the most complete snapshot of a request counts; the order depends only on content, not on the order of loading
    ranked as (
        select
            {{ columns }},
            batch_id,
            min(first_usage_date) over (partition by event_id) as first_usage_date,
            max(last_usage_date) over (partition by event_id) as last_usage_date,
            row_number() over (
                partition by event_id
                order by
                    case when is_running_total then batch_id else 0 end desc,
                    {% for measure in measures %} coalesce({{ measure }}, -1) desc, {% endfor %}
                    occurred_at,
                    {{ dbt.hash(text_of(texts)) }},
                    batch_id
            ) as position,
            -- the increase of a running total is computed again with each new total, mostly with the same result
            min(batch_id) over (partition by event_id, {{ counted_columns() | join(", ") }}) as first_batch_id
        from delivered
    ),

    requests as (
        select {{ columns }}, first_usage_date, last_usage_date, batch_id
        from ranked
        where
            position = 1
            {% if is_incremental() %}
                and batch_id = {{ batch }} and (first_batch_id = {{ batch }} or not is_running_total)
            {% endif %}
    ),

    {{ computed_costs("requests") }}

select
    {{ columns }},
    input_cost_usd,
    cache_read_cost_usd,
    cache_write_cost_usd,
    output_cost_usd,
    computed_cost_usd,
    {% if var("cost_preference") == "computed" %}
        cast(coalesce(computed_cost_usd, reported_cost_usd) as {{ data_type("money") }}) as cost_usd,
    {% else %} cast(coalesce(reported_cost_usd, computed_cost_usd) as {{ data_type("money") }}) as cost_usd,
    {% endif %}
    first_usage_date,
    last_usage_date,
    batch_id
from computed_costs
