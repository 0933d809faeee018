{# The names of the columns that duration_measures makes. #}
{% macro duration_columns(column) %}
    {% set columns = [] %}
    {% for measure in ["requests", "avg", "p50", "p90", "p95", "p99", "max"] %}
        {% do columns.append(column ~ "_" ~ measure) %}
    {% endfor %}
    {% do return(columns) %}
{% endmacro %}
