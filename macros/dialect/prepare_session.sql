{#
Pre-hook for warehouses that need other settings for the next statement, or need to drop objects before that statement locks
its table.
#}
{% macro prepare_session() %}
    {% if is_hook_run() %} {{ adapter.dispatch("prepare_session")() }} {% endif %}
{% endmacro %}

{% macro default__prepare_session() %} {% endmacro %}
