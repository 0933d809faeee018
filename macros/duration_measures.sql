{# How a column of milliseconds is spread over the requests of a relation, failed ones included. #}
{% macro duration_measures(requests, column) %}
    cast(count({{ requests }}.{{ column }}) as {{ data_type("count") }}) as {{ column }}_requests,
    {{ average(requests ~ "." ~ column) }} as {{ column }}_avg,
    {%- for percent in [50, 90, 95, 99] %}
        {{ percentile(requests ~ "." ~ column, percent / 100) }} as {{ column }}_p{{ percent }},
    {%- endfor %}
    max({{ requests }}.{{ column }}) as {{ column }}_max
{%- endmacro %}
