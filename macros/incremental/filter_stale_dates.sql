{# The where clause of a mart on llm_requests: no filter, or the stale dates in an incremental run. #}
{% macro filter_stale_dates() %}
    {% if is_incremental() %}
        {% set dates = stale_dates() %} {% do limit_write_to(dates) %} where {{ in_dates(dates) }}
    {% endif %}
{% endmacro %}
