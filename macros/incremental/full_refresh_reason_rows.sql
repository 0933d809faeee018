{#
The reason for a full refresh if llm_requests (`requests`) still has rows of loads that were undone, or rows that may not match
the recorded settings: no settings are recorded, or some rows were written before the settings were recorded. That happens after an
upgrade or an interrupted full refresh. Otherwise None.
#}
{% macro full_refresh_reason_rows(recorded, requests) %}
    {% if not requests %} {% do return(none) %} {% endif %}
    {% set refreshed = recorded.refresh_batch_id if recorded else 0 %}
    {# min() of no rows is NULL in some warehouses and 0 in others #}
    {% set oldest = (query_column("select min(batch_id) from " ~ requests) | first or refreshed) | int %}
    {% if recorded and undone_batch_id() > [refreshed, oldest] | min %}
        {% do return("The requests still contain rows of loads that tokenmart undo has deleted.") %}
    {% elif not recorded or oldest < refreshed %}
        {% do return("The requests were built by an earlier version, or their last full refresh did not finish.") %}
    {% endif %}
    {% do return(none) %}
{% endmacro %}
