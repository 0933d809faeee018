{# Bounds the delete or merge that follows by a predicate. dbt hands out the configured list itself, so it is seen there. #}
{% macro bound_writes(predicate) %}
    {% set predicates = config.get("incremental_predicates") %}
    {% if execute %} {% do predicates.clear() %} {% do predicates.append(predicate) %} {% endif %}
{% endmacro %}
