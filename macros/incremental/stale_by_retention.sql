{#
The reason why rows are missing in {{ this }}: earlier runs deleted them with a smaller retention_days. None if no landed
request is missing. Only a run that has raised retention_days looks for them, so that other runs do not read all events.
#}
{% macro stale_by_retention(recorded) %}
    {% if not is_retention_raised(recorded.retention_days) %} {% do return(none) %} {% endif %}
    {% set query %}
        select event_id from {{ ref("tokenmart", "stg_usage__events") }}
        where
            usage_date < date '{{ first_kept_day(recorded.retention_days) }}'
            {% if first_kept_day() %} and usage_date >= date '{{ first_kept_day() }}' {% endif %}
            and load_id in (select load_id from {{ ref("tokenmart", "loads") }} where batch_id > 0)
            and event_id not in (select event_id from {{ this }})
        limit 1
    {% endset %}
    {% set reason %}
        Since the requests were built, retention_days has been raised or removed: the requests that it deleted must be restored.
    {% endset %}
    {% do return(reason | trim if first_column(query) | length else none) %}
{% endmacro %}
