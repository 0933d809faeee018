{# How a column of milliseconds is spread over the requests of a relation, failed ones included. #}
{% macro duration_measures(requests, column) %}
    cast(count({{ requests }}.{{ column }}) as {{ data_type("bigint") }}) as {{ column }}_requests,
    {{ average(requests ~ "." ~ column) }} as {{ column }}_avg,
    {%- for percent in [50, 90, 95, 99] %}
        {{ percentile(requests ~ "." ~ column, percent / 100) }} as {{ column }}_p{{ percent }},
    {%- endfor %}
    max({{ requests }}.{{ column }}) as {{ column }}_max
{%- endmacro %}

{# The names of the columns that duration_measures makes. #}
{% macro duration_columns(column) %}
    {% set columns = [] %}
    {% for measure in ["requests", "avg", "p50", "p90", "p95", "p99", "max"] %}
        {% do columns.append(column ~ "_" ~ measure) %}
    {% endfor %}
    {% do return(columns) %}
{% endmacro %}
