{# The names of the columns that duration_measures returns for a column of milliseconds. The count of values comes first. #}
{% macro duration_columns(column) %}
    {% set counts = {"duration_ms": "timed_requests", "time_to_first_token_ms": "first_token_timed_requests"} %}
    {% set columns = [counts[column]] %}
    {% for measure in ["avg", "p50", "p90", "p95", "p99", "max"] %}
        {% do columns.append(column ~ "_" ~ measure) %}
    {% endfor %}
    {% do return(columns) %}
{% endmacro %}
