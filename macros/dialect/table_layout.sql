{#
Configures the layout of a model's table. `day` is the date column that reads and writes filter on. `time` is the
timestamp column. `keys` are the columns that users filter and group by, the most important first. `lookups` are the columns
that are used to find single rows. `replaced_by` is the key of a table whose rows are replaced one by one. In a table with
`day` and without `lookups`, whole dates are replaced. A table without `day`, `lookups` and `replaced_by` is replaced as a whole.
#}
{% macro table_layout(day=none, time=none, keys=[], lookups=[], replaced_by=none) %}
    {%- set layout = adapter.dispatch("table_layout")(day, time, keys, lookups, replaced_by) -%}
    {%- if layout -%} {{ config(**layout) }} {%- endif -%}
{% endmacro %}

{% macro default__table_layout(day, time, keys, lookups, replaced_by) %} {% do return({}) %} {% endmacro %}
