{# Texts as a list of SQL literals. Without texts, a list with an empty text. #}
{% macro quoted_list(texts) %} {% do return("'" ~ texts | join("', '") ~ "'") %} {% endmacro %}
