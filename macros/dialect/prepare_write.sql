{# Pre-hook for warehouses that need other settings for the statement that follows, or objects dropped before it locks. #}
{% macro prepare_write() %} {% if is_written() %} {{ adapter.dispatch("prepare_write")() }} {% endif %} {% endmacro %}

{% macro default__prepare_write() %} {% endmacro %}
