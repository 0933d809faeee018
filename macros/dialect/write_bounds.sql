{#
Bounds the delete, merge or overwrite that follows by literal days, of which `time` is the column of instants. dbt hands out the configured lists themselves, so
that what is put in here is seen there.
#}
{% macro write_bounds(days, time=none) %}
    {% if execute %} {% do adapter.dispatch("write_bounds")(days, time) %} {% endif %}
{% endmacro %}

{% macro default__write_bounds(days, time) %}
    {% set predicates = config.get("incremental_predicates") %}
    {% if predicates is not none %} {% do predicates.clear() %} {% do predicates.append(in_days(days)) %} {% endif %}
{% endmacro %}
