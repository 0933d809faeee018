{# A pre-hook for warehouses that would plan the statement that follows badly. #}
{% macro prepare_write() %} {% if is_written() %} {{ adapter.dispatch("prepare_write")() }} {% endif %} {% endmacro %}

{% macro default__prepare_write() %} {% endmacro %}
