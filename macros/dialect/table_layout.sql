{#
Configures the layout of a model's table: `day` is the column of dates, by which it is written and pruned, `time` its
timestamp column; `keys` are the columns that users filter and group by, the most important first; `lookups` those that
single rows are looked up by; `replaced_by` is the key of a table whose rows are replaced one by one. A table without
lookups is written in whole days, one without all three as a whole.
#}
{% macro table_layout(day=none, time=none, keys=[], lookups=[], replaced_by=none) %}
    {%- set layout = adapter.dispatch("table_layout")(day, time, keys, lookups, replaced_by) -%}
    {%- if layout -%} {{ config(**layout) }} {%- endif -%}
{% endmacro %}

{% macro default__table_layout(day, time, keys, lookups, replaced_by) %} {% do return({}) %} {% endmacro %}
