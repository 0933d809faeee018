{#
Limits the delete, merge or overwrite of a run to literal dates; `time` is the table's timestamp column. dbt passes the
configured lists to the incremental strategy without copying them, so a change here has an effect there. No other macro
changes the config of a model at run time.
#}
{% macro limit_write_to(dates, time=none) %}
    {% if execute %} {% do adapter.dispatch("limit_write_to")(dates, time) %} {% endif %}
{% endmacro %}

{% macro default__limit_write_to(dates, time) %}
    {% set predicates = config.get("incremental_predicates") %}
    {% if predicates is not none %} {% do predicates.clear() %} {% do predicates.append(in_dates(dates)) %} {% endif %}
{% endmacro %}
