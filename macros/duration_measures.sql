{# How a column of milliseconds is distributed over the requests of a relation, failed ones included. #}
{% macro duration_measures(requests, column) %}
    cast(count({{ requests }}.{{ column }}) as {{ data_type("count") }}) as {{ duration_columns(column) | first }},
    {{ average(requests ~ "." ~ column) }} as {{ column }}_avg,
    {%- for percent in [50, 90, 95, 99] %}
        {{ percentile(requests ~ "." ~ column, percent / 100) }} as {{ column }}_p{{ percent }},
    {%- endfor %}
    max({{ requests }}.{{ column }}) as {{ column }}_max
{%- endmacro %}
