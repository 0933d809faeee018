{# The cost of tokens at a price per million, in USD to twelve decimal places, computed exactly, without floats. #}
{% macro token_cost(tokens, price) %} {{ adapter.dispatch("token_cost")(tokens, price) }}{% endmacro %}

{% macro default__token_cost(tokens, price) -%}
    cast(({{ tokens }}) * ({{ price }}) * 0.000001 as {{ data_type("money") }})
{%- endmacro %}
