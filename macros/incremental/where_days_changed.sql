{# The filter of a mart on llm_requests: everything, or in an incremental run the days that have changed. #}
{% macro where_days_changed() %}
    {% if is_incremental() %} where {{ in_days(changed_days()) }} {% endif %}
{% endmacro %}
