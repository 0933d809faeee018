{# An amount divided by a count, to twelve decimal places, rounded half away from zero; NULL for a count of 0. #}
{% macro average_money(total, count) %} {{ adapter.dispatch("average_money")(total, count) }}{% endmacro %}

{% macro default__average_money(total, count) -%}
    cast(({{ total }}) / nullif({{ count }}, 0) as {{ data_type("money") }})
{%- endmacro %}
