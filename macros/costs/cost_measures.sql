{# What every cost mart counts and adds up, over the requests of a relation; a sum over nothing known is NULL, not 0. #}
{% macro cost_measures(requests) %}
    cast(count(*) as {{ data_type("bigint") }}) as requests,
    cast(count({{ requests }}.cost_usd) as {{ data_type("bigint") }}) as priced_requests,
    cast(count(*) - count({{ requests }}.cost_usd) as {{ data_type("bigint") }}) as unpriced_requests,
    cast(
        sum(
            case when {{ requests }}.input_tokens is null and {{ requests }}.output_tokens is null then 1 else 0 end
        ) as {{ data_type("bigint") }}
    ) as unmetered_requests,
    {{ sums_of(requests, token_columns(), "bigint") }},
    {{ sums_of(requests, cost_columns(), "money") }}
{%- endmacro %}

{# The measures of a relation of cost_measures, added up. #}
{% macro cost_totals(relation) %}
    {{
        sums_of(
            relation,
            ["requests", "priced_requests", "unpriced_requests", "unmetered_requests"] + token_columns(),
            "bigint",
        )
    }},
    {{ sums_of(relation, cost_columns(), "money") }}
{%- endmacro %}

{% macro token_columns() %}
    {% do return(["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"]) %}
{% endmacro %}

{% macro cost_columns() %}
    {% do return(
        [
            "cost_usd",
            "reported_cost_usd",
            "computed_cost_usd",
            "input_cost_usd",
            "cache_read_cost_usd",
            "cache_write_cost_usd",
            "output_cost_usd",
        ]
    ) %}
{% endmacro %}

{% macro sums_of(relation, columns, type) %}
    {%- for column in columns %}
        cast(sum({{ relation }}.{{ column }}) as {{ data_type(type) }}) as {{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
