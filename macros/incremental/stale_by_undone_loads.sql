{# The reason for a full refresh if llm_requests still has rows of loads that were undone; otherwise None. #}
{% macro stale_by_undone_loads(recorded, oldest) %}
    {% set is_stale = recorded and undone_batch_id() > [recorded.refresh_batch_id, oldest] | min %}
    {% do return("The requests still contain rows of loads that tokenmart undo has deleted." if is_stale else none) %}
{% endmacro %}
