{#
p50 <= p90 <= p95 <= p99 <= max in every row that has these values, and the mean does not exceed the maximum by more than its
rounding to whole microseconds. Set `is_daily` to false for a model without a column usage_date.
#}
{% test percentiles_are_ordered(model, is_daily=true) %}
    with model as (select * from {{ model }} {% if is_daily %} where {{ is_tested() }} {% endif %})

    {% for column in ["duration_ms", "time_to_first_token_ms"] %}
        select '{{ column }}' as measure, {{ column }}_p50, {{ column }}_max
        from model
        where
            {{ column }}_p50 > {{ column }}_p90
            or {{ column }}_p90 > {{ column }}_p95
            or {{ column }}_p95 > {{ column }}_p99
            or {{ column }}_p99 > {{ column }}_max
            or {{ column }}_avg > {{ column }}_max * 1.000000001 + 0.000501
            {{ 'union all' if not loop.last }}
    {% endfor %}
{% endtest %}
