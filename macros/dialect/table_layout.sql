{#
Configures how a model's table is laid out on disk: `day` is its column of days, by which it is written and pruned, `time`
that of its instants; `keys` are the columns that people filter and group by, the best first; `lookups` those that single
rows are found by. A table without lookups is written by whole days, one without days and lookups as a whole.
#}
{% macro table_layout(day=none, time=none, keys=[], lookups=[]) %}
    {%- set layout = adapter.dispatch("table_layout")(day, time, keys, lookups) -%}
    {%- if layout -%} {{ config(**layout) }} {%- endif -%}
{% endmacro %}

{% macro default__table_layout(day, time, keys, lookups) %} {% do return({}) %} {% endmacro %}
