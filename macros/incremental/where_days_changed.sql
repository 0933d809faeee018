{# The filter of a mart on llm_requests: everything, or in an incremental run the days that have changed. #}
{% macro where_days_changed() %}
    {% if is_incremental() %}
        {% set days = changed_days() %} {% do write_bounds(days) %} where {{ in_days(days) }}
    {% endif %}
{% endmacro %}
