{#
Bounds the delete, merge or overwrite that follows by literal days. dbt hands out the configured lists themselves, so
that what is put in here is seen there.
#}
{% macro write_bounds(days) %}
    {% if execute %} {% do adapter.dispatch("write_bounds")(days) %} {% endif %}
{% endmacro %}

{% macro default__write_bounds(days) %}
    {% set predicates = config.get("incremental_predicates") %}
    {% if predicates is not none %} {% do predicates.clear() %} {% do predicates.append(in_days(days)) %} {% endif %}
{% endmacro %}
