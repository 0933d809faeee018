{# A text to order by, byte by byte, regardless of the warehouse's collation. #}
{% macro byte_order(text) %} {{ adapter.dispatch("byte_order")(text) }}{% endmacro %}

{% macro default__byte_order(text) %} {{ text }}{% endmacro %}
