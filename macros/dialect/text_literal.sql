{# A string as an SQL literal, whatever characters it has. #}
{% macro text_literal(text) %} {{ return(adapter.dispatch("text_literal")(text)) }}{% endmacro %}

{% macro default__text_literal(text) %} {% do return("'" ~ text | replace("'", "''") ~ "'") %} {% endmacro %}
