{# The counts and sums of every cost mart, for the requests of a relation. A sum of unknown values is NULL, not 0. #}
{% macro cost_measures(requests) %}
    cast(count(*) as {{ data_type("count") }}) as requests,
    cast(count({{ requests }}.cost_usd) as {{ data_type("count") }}) as priced_requests,
    cast(count(*) - count({{ requests }}.cost_usd) as {{ data_type("count") }}) as unpriced_requests,
    cast(
        sum(
            case when {{ requests }}.input_tokens is null and {{ requests }}.output_tokens is null then 1 else 0 end
        ) as {{ data_type("count") }}
    ) as unmetered_requests,
    {{ sums_of(requests, token_columns(), "bigint") }},
    {{ sums_of(requests, cost_columns(), "money") }}
{%- endmacro %}
