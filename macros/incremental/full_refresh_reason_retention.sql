{#
The reason for a full refresh if rows are missing in llm_requests (`requests`) because earlier runs deleted them with a smaller
retention_days; otherwise None. The macro searches for such rows only if retention_days was raised, so that other runs do not
read all events.
#}
{% macro full_refresh_reason_retention(recorded, requests) %}
    {% set loads = existing_relation("loads") %}
    {# without stored requests or a list of processed loads, the run reads all events again #}
    {% if not requests or not loads or not is_retention_raised(recorded.retention_days) %}
        {% do return(none) %}
    {% endif %}
    {% set query %}
        select event_id from {{ existing_relation("stg_usage__events") }}
        where
            usage_date < date '{{ first_kept_date(recorded.retention_days) }}'
            {% if first_kept_date() %} and usage_date >= date '{{ first_kept_date() }}' {% endif %}
            and load_id in (select load_id from {{ loads }} where {{ is_processed() }})
            and event_id not in (select event_id from {{ requests }})
        limit 1
    {% endset %}
    {% set reason %}
        Since the requests were built, retention_days has been raised or removed: the requests that it deleted must be restored.
    {% endset %}
    {% do return(reason | trim if query_column(query) | length else none) %}
{% endmacro %}
