{# A post-hook for warehouses whose next plan would be a poor one without fresh statistics of the table. #}
{% macro refresh_statistics() %}
    {% if is_written() %} {{ adapter.dispatch("refresh_statistics")() }} {% endif %}
{% endmacro %}

{% macro default__refresh_statistics() %} {% endmacro %}
