{#
Limits the delete, merge or overwrite that follows to literal dates; `time` is the table's timestamp column. dbt passes
the configured lists themselves on, so changing them here has an effect there. Nothing else changes the config of a model.
#}
{% macro limit_write_to(dates, time=none) %}
    {% if execute %} {% do adapter.dispatch("limit_write_to")(dates, time) %} {% endif %}
{% endmacro %}

{% macro default__limit_write_to(dates, time) %}
    {% set predicates = config.get("incremental_predicates") %}
    {% if predicates is not none %} {% do predicates.clear() %} {% do predicates.append(in_dates(dates)) %} {% endif %}
{% endmacro %}
