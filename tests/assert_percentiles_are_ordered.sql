-- p50 <= p90 <= p95 <= p99 <= max, wherever they are measured. The mean is made of whole microseconds.
{% set relations = [ref("daily_latency"), ref("daily_latency_by_model"), ref("usage_summary")] %}
{% for relation in relations %}
    {% for column in ["duration_ms", "time_to_first_token_ms"] %}
        select '{{ relation.identifier }}' as relation, '{{ column }}' as measure, {{ column }}_p50, {{ column }}_max
        from {{ relation }}
        where
            {{ column }}_p50 > {{ column }}_p90
            or {{ column }}_p90 > {{ column }}_p95
            or {{ column }}_p95 > {{ column }}_p99
            or {{ column }}_p99 > {{ column }}_max
            or {{ column }}_avg > {{ column }}_max * 1.000000001 + 0.000501
            {{ 'union all' if not loop.last }}
        {% endfor %} {{ 'union all' if not loop.last }}
{% endfor %}
