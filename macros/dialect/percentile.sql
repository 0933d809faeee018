{# The p-th percentile (0 to 1) of a column's known values, interpolated between neighboring values; NULL if there are none. #}
{% macro percentile(column, p) %} {{ adapter.dispatch("percentile")(column, p) }}{% endmacro %}

{% macro default__percentile(column, p) %} percentile_cont({{ p }}) within group (order by {{ column }}){% endmacro %}
