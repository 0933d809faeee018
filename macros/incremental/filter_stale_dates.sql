{# The filter of a mart on llm_requests: everything, or in an incremental run the dates that are stale. #}
{% macro filter_stale_dates() %}
    {% if is_incremental() %}
        {% set dates = stale_dates() %} {% do limit_write_to(dates) %} where {{ in_dates(dates) }}
    {% endif %}
{% endmacro %}
