{# Pre-hook for warehouses that need other settings for the statement that follows, or objects dropped before it locks. #}
{% macro prepare_session() %}
    {% if is_hook_run() %} {{ adapter.dispatch("prepare_session")() }} {% endif %}
{% endmacro %}

{% macro default__prepare_session() %} {% endmacro %}
