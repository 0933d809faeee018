{#
The CTE `computed_costs`: what each request of the CTE `requests` costs by the price table, in USD.
One row per request whose tokens are known and whose model has a price on its day. The model's name is looked up among the
provider's own prices, then among those of the vendors, and there by the order of the table.
#}
{% macro computed_costs(requests) %}
    model_names as (
        select distinct coalesce(lower(provider), '') as provider, lower(model) as model
        from {{ requests }}
        where model is not null
    ),

    matches as (
        select
            model_names.provider,
            model_names.model,
            prices.provider as price_provider,
            prices.model_pattern,
            row_number() over (
                partition by model_names.provider, model_names.model
                order by
                    case when prices.provider = model_names.provider then 0 else 1 end,
                    prices.match_order,
                    prices.provider,
                    prices.model_pattern
            ) as position
        from model_names
        cross join {{ ref("model_prices") }} as prices
        where
            model_names.model like prices.model_pattern and (prices.provider = model_names.provider or prices.is_vendor)
    ),

    prices_of_requests as (
        select
            requests.event_id,
            coalesce(requests.input_tokens, 0)
            - coalesce(requests.cache_read_tokens, 0)
            - coalesce(requests.cache_write_tokens, 0) as uncached_tokens,
            coalesce(requests.cache_read_tokens, 0) as cache_read_tokens,
            coalesce(requests.cache_write_tokens, 0)
            - coalesce(requests.cache_write_1h_tokens, 0) as cache_write_5m_tokens,
            coalesce(requests.cache_write_1h_tokens, 0) as cache_write_1h_tokens,
            coalesce(requests.output_tokens, 0) as output_tokens,
            prices.input_usd_per_million as input_price,
            coalesce(prices.cache_read_usd_per_million, prices.input_usd_per_million) as cache_read_price,
            coalesce(prices.cache_write_usd_per_million, prices.input_usd_per_million) as cache_write_5m_price,
            coalesce(
                prices.cache_write_1h_usd_per_million, prices.cache_write_usd_per_million, prices.input_usd_per_million
            ) as cache_write_1h_price,
            -- a model without an output price, such as an embedding, has no output to bill
            case
                when requests.output_tokens > 0
                then prices.output_usd_per_million
                else coalesce(prices.output_usd_per_million, 0)
            end as output_price
        from {{ requests }} as requests
        inner join
            matches
            on coalesce(lower(requests.provider), '') = matches.provider
            and lower(requests.model) = matches.model
            and matches.position = 1
        inner join
            {{ ref("model_prices") }} as prices
            on matches.price_provider = prices.provider
            and matches.model_pattern = prices.model_pattern
        where
            requests.input_tokens is not null
            and (requests.output_tokens is not null or prices.output_usd_per_million is null)
            and cast(requests.occurred_at as {{ data_type("date") }}) >= coalesce(prices.valid_from, date '2000-01-01')
            and cast(requests.occurred_at as {{ data_type("date") }}) < coalesce(prices.valid_to, date '2100-01-01')
    ),

    cost_parts as (
        select
            event_id,
            {{ token_cost("uncached_tokens", "input_price") }} as input_cost_usd,
            {{ token_cost("cache_read_tokens", "cache_read_price") }} as cache_read_cost_usd,
            cast(
                {{ token_cost("cache_write_5m_tokens", "cache_write_5m_price") }}
                + {{ token_cost("cache_write_1h_tokens", "cache_write_1h_price") }} as {{ data_type("money") }}
            ) as cache_write_cost_usd,
            {{ token_cost("output_tokens", "output_price") }} as output_cost_usd
        from prices_of_requests
    ),

    computed_costs as (
        select
            event_id,
            input_cost_usd,
            cache_read_cost_usd,
            cache_write_cost_usd,
            output_cost_usd,
            cast(
                input_cost_usd
                + cache_read_cost_usd
                + cache_write_cost_usd
                + output_cost_usd as {{ data_type("money") }}
            ) as computed_cost_usd
        from cost_parts
    )
{% endmacro %}
