{# Pre-hook for warehouses that would otherwise choose a bad plan for the statement that follows. #}
{% macro prepare_write() %} {% if is_written() %} {{ adapter.dispatch("prepare_write")() }} {% endif %} {% endmacro %}

{% macro default__prepare_write() %} {% endmacro %}
