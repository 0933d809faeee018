{#
Configures the layout of a model's table: `day` is the column of days, by which it is written and pruned, `time` its
timestamp column; `keys` are the columns that users filter and group by, the most important first; `lookups` those that
single rows are looked up by. A table without lookups is written in whole days, one without days and lookups as a whole.
#}
{% macro table_layout(day=none, time=none, keys=[], lookups=[]) %}
    {%- set layout = adapter.dispatch("table_layout")(day, time, keys, lookups) -%}
    {%- if layout -%} {{ config(**layout) }} {%- endif -%}
{% endmacro %}

{% macro default__table_layout(day, time, keys, lookups) %} {% do return({}) %} {% endmacro %}
