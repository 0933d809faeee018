{# Post-hook for warehouses that need fresh table statistics to plan the next run well. #}
{% macro refresh_statistics() %}
    {% if is_hook_run() %} {{ adapter.dispatch("refresh_statistics")() }} {% endif %}
{% endmacro %}

{% macro default__refresh_statistics() %} {% endmacro %}
