{# An expression that orders a string byte by byte, regardless of the warehouse's collation. #}
{% macro binary_collation(text) %} {{ adapter.dispatch("binary_collation")(text) }}{% endmacro %}

{% macro default__binary_collation(text) %} {{ text }}{% endmacro %}
