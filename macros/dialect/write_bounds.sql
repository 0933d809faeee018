{#
Limits the delete, merge or overwrite that follows to literal days; `time` is the table's timestamp column. dbt passes
the configured lists themselves on, so changing them here has an effect there.
#}
{% macro write_bounds(days, time=none) %}
    {% if execute %} {% do adapter.dispatch("write_bounds")(days, time) %} {% endif %}
{% endmacro %}

{% macro default__write_bounds(days, time) %}
    {% set predicates = config.get("incremental_predicates") %}
    {% if predicates is not none %} {% do predicates.clear() %} {% do predicates.append(in_days(days)) %} {% endif %}
{% endmacro %}
