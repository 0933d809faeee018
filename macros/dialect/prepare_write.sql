{# A pre-hook for warehouses that would plan the statement that follows badly. #}
{% macro prepare_write() %} {{ adapter.dispatch("prepare_write")() }}{% endmacro %}

{% macro default__prepare_write() %} {% endmacro %}
