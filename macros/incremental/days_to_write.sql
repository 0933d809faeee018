{# The days of delivered events, and of the requests in {{ this }} that they update. #}
{% macro days_to_write(is_delivered, is_again) %}
    {% set days = days_of(
        "select distinct usage_date from " ~ ref("tokenmart", "stg_usage__events") ~ " where " ~ is_delivered
    ) %}
    {% set near = (
        " and " ~ in_days(days_around(days, var("late_data_days")))
        if var("late_data_days") is not none
        else ""
    ) %}
    {% do return(
        (days + days_of("select distinct usage_date from " ~ this ~ " where " ~ is_again ~ near))
        | unique
        | sort
        | list
    ) %}
{% endmacro %}
