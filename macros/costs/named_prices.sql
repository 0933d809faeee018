{#
A query for the rows of the CTE `model_prices`, each with the service tier of the requests that it is for (`list_tier`), the tier
that its prices are of (`tier_name`), and its name (`price_name`). All three can be empty in the seed.
#}
{% macro named_prices(model_prices) %}
    {%- set list_tier = "coalesce(nullif(" ~ model_prices ~ ".service_tier, ''), 'standard')" -%}
    select
        {{ model_prices }}.*,
        {{ list_tier }} as list_tier,
        cast(
            coalesce(nullif({{ model_prices }}.priced_tier, ''), {{ list_tier }}) as {{ data_type("label") }}
        ) as tier_name,
        coalesce(
            nullif({{ model_prices }}.price_id, ''),
            {{ dbt.concat([model_prices ~ ".provider", "'/'", model_prices ~ ".model", "' '", list_tier]) }}
        ) as price_name
    from {{ model_prices }}
{%- endmacro %}
