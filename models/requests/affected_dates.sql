{{ table_layout(lookups=["batch_id"]) }}

-- depends_on: {{ ref('tokenmart', 'loads') }} {{ ref('tokenmart', 'model_names') }} {{ ref('tokenmart', 'model_prefixes') }}
-- depends_on: {{ ref('tokenmart', 'model_prices') }} {{ ref('tokenmart', 'passed_on_prices') }}
-- depends_on: {{ ref('tokenmart', 'provider_aliases') }} {{ user_seed('price_overrides') }}
{% set batch, late_data_days = current_batch_id(), var("late_data_days") %}
{% set requests = existing_relation("llm_requests") if is_incremental() else none %}
{% set is_new = new_events_filter(current_load_ids(batch)) if is_incremental() else "1 = 1" %}
{% set are_repriced = requests and is_repricing() %}
{% if are_repriced %}
    {% do log("Prices or cost_preference have changed: stored requests get new costs where they differ.", info=true) %}
{% endif %}
{% if requests and late_data_days is not none %}
    {% set new_dates %} select usage_date from {{ ref("tokenmart", "stg_usage__events") }} where {{ is_new }} {% endset %}
    {% set searched_dates = dates_around(query_dates(new_dates), late_data_days) %}
{% endif %}
with

    events as (select event_id, usage_date from {{ ref("tokenmart", "stg_usage__events") }} where {{ is_new }}),

    {% if are_repriced %}
        stored as (select {{ request_columns().all | join(", ") }} from {{ requests }}),
        {{ model_ctes("stored") }},
        {{ price_ctes("keyed", "listed_models", "model_regions") }},
        {{ override_ctes("list_priced") }},
        {{ cost_ctes("priced") }},

        repriced as ({{ repriced_requests("costs", requests) }}),
    {% endif %}

    -- a newer snapshot may move a request to another date, so the date of the stored request is affected too
    dates as (
        select usage_date
        from events
        {% if requests %}
            union all
            select usage_date
            from {{ requests }}
            where
                event_id in (select event_id from events)
                {% if late_data_days is not none %} and {{ in_dates(searched_dates) }} {% endif %}
        {% endif %}
        {% if are_repriced %}
            union all
            select usage_date
            from repriced
        {% endif %}
    )

select distinct usage_date, cast({{ batch }} as {{ data_type("count") }}) as batch_id
from dates
