{# The mean of a column of doubles to six places: beyond, it would depend on the order in which they are added up. #}
{% macro average(column) %} {{ adapter.dispatch("average")(column) }}{% endmacro %}

{% macro default__average(column) %}
    cast(cast(avg({{ column }}) as decimal(38, 6)) as {{ data_type("double") }})
{%- endmacro %}
