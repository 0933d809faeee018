{# Texts as a list in SQL; one that matches none where there are none. #}
{% macro literals(texts) %} {% do return("'" ~ texts | join("', '") ~ "'") %} {% endmacro %}
