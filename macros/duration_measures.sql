{#
Count, mean, percentiles and maximum of a column of milliseconds, for all requests of a relation, including failed ones. `counted`
is the name of the count.
#}
{% macro duration_measures(requests, column, counted=none) %}
    cast(
        count({{ requests }}.{{ column }}) as {{ data_type("count") }}
    ) as {{ counted or duration_columns(column) | first }},
    {{ average(requests ~ "." ~ column) }} as {{ column }}_avg,
    {%- for percent in [50, 90, 95, 99] %}
        {{ percentile(requests ~ "." ~ column, percent / 100) }} as {{ column }}_p{{ percent }},
    {%- endfor %}
    max({{ requests }}.{{ column }}) as {{ column }}_max
{%- endmacro %}
