{# The numbers of requests, errors and timeouts in a relation. A timeout is a separate status, not an error. #}
{% macro failure_counts(requests) %}
    cast(count(*) as {{ data_type("count") }}) as requests,
    {{ count_of_status(requests, "error") }} as errors,
    {{ count_of_status(requests, "timeout") }} as timeouts
{%- endmacro %}
