{{ table_layout(lookups=["batch_id"]) }}

-- depends_on: {{ ref('tokenmart', 'loads') }}
{% set batch = current_batch_id() %}
{% set requests = existing_relation("llm_requests") if is_incremental() else none %}
with

    events as (
        select event_id, usage_date
        from {{ ref("tokenmart", "stg_usage__events") }}
        {% if is_incremental() %} where {{ new_events_filter(current_load_ids(batch)) }} {% endif %}
    ),

    -- a newer snapshot may move a request to another date, so the date of the stored request is affected too
    dates as (
        select usage_date
        from events
        {% if requests %}
            union all
            select usage_date
            from {{ requests }}
            where event_id in (select event_id from events)
        {% endif %}
    )

select distinct usage_date, cast({{ batch }} as {{ data_type("count") }}) as batch_id
from dates
