{# Texts as a list in SQL; for no texts, a list that matches nothing. #}
{% macro quoted_list(texts) %} {% do return("'" ~ texts | join("', '") ~ "'") %} {% endmacro %}
