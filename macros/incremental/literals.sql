{# Texts as a list in SQL; for no texts, a list that matches nothing. #}
{% macro literals(texts) %} {% do return("'" ~ texts | join("', '") ~ "'") %} {% endmacro %}
