{# Post-hook for warehouses that need current table statistics to plan the next run's queries well. #}
{% macro refresh_statistics() %}
    {% if is_hook_run() %} {{ adapter.dispatch("refresh_statistics")() }} {% endif %}
{% endmacro %}

{% macro default__refresh_statistics() %} {% endmacro %}
