{{ table_layout(day="usage_date", time="occurred_at", keys=["user_id", "model"], lookups=["event_id", "batch_id"]) }}

-- depends_on: {{ ref('tokenmart', 'loads') }} {{ ref('tokenmart', 'affected_dates') }}
{% set batch, columns = current_batch_id(), request_columns() %}
{% set listed = columns.all | join(", ") %}
{% set current_batch = "cast(" ~ batch ~ " as " ~ data_type("count") ~ ")" %}
{% set are_repriced = is_incremental() and is_repricing() %}
{% set is_repair = is_incremental() and current_load_ids(batch, "repairing") | length > 0 %}
{% if is_incremental() %}
    {% set is_new = new_events_filter(current_load_ids(batch)) %}
    {% set dates = dates_to_write(batch, is_new) %}
    {% do limit_write_to(dates, time="occurred_at") %}
{% endif %}

with

    new_events as (
        select *
        from {{ ref("tokenmart", "stg_usage__events") }}
        {% if is_incremental() %} where {{ is_new }} {% endif %}
    ),

    snapshots as (
        select {{ listed }}, {{ current_batch }} as batch_id
        from new_events
        {% if is_incremental() %}
            union all
            -- the stored requests with the same ids as new events; if prices have changed, all requests on these dates
            select {{ listed }}, batch_id
            from {{ this }}
            where
                {{ in_dates(dates) }}
                {% if not are_repriced %} and event_id in (select event_id from new_events) {% endif %}
        {% endif %}
    ),

    -- the most complete snapshot of each request is kept; the order depends on the content, not on the order of loading
    ranked as (
        select
            {{ listed }},
            row_number() over (
                partition by event_id
                order by
                    -- the increase of a running total may become smaller, so the newest one is kept
                    case when is_running_total then batch_id else 0 end desc,
                    {% for measure in columns.measures %} coalesce({{ measure }}, -1) desc, {% endfor %}
                    occurred_at,
                    {{ dbt.hash(text_of(columns.texts)) }},
                    case when is_estimate then 1 else 0 end,
                    case when is_billed then 1 else 0 end,
                    -- snapshots with equal content: the stored one, then the one of the earlier load
                    batch_id,
                    load_id
            ) as completeness_rank,
            -- each new total brings all increases of its session again; an increase that is stored already is no change
            batch_id = {{ batch }}
            and (
                not is_running_total
                or min(batch_id) over (partition by event_id, {{ cumulative_columns() | join(", ") }}) = {{ batch }}
            ) as is_changed
        from snapshots
    ),

    -- a repair writes all requests again, because their rows may be doubled
    requests as (
        select {{ listed }}, is_changed, {{ current_batch }} as batch_id
        from ranked
        where
            completeness_rank = 1
            {% if is_incremental() and not is_repair and not are_repriced %} and is_changed
            {% elif first_kept_date() and not is_incremental() %} and usage_date >= date '{{ first_kept_date() }}'
            {% endif %}
    ),

    {{ model_ctes("requests") }},
    {{ price_ctes("keyed", "listed_models", "model_regions") }},
    {{ override_ctes("list_priced") }},
    {{ cost_ctes("priced") }}

    {% if are_repriced %}, repriced as ({{ repriced_requests("costs", this) }}) {% endif %}

select
    {{ listed }},
    {{ pricing_columns() | join(", ") }},
    input_cost_usd,
    cache_read_cost_usd,
    cache_write_cost_usd,
    output_cost_usd,
    request_cost_usd,
    web_search_cost_usd,
    computed_cost_usd,
    cost_without_cache_usd,
    cost_usd,
    batch_id
from costs
{% if are_repriced and not is_repair %} where is_changed or event_id in (select event_id from repriced) {% endif %}
