with

    model_prices as (select * from {{ ref("tokenmart", "model_prices") }}),

    prices as ({{ named_prices("model_prices") }}),

    previous_prices as (select * from prices),

    -- each row with the row that held for the same requests until the day on which its prices began
    changes as (
        select
            -- without the aliases, some warehouses would keep the prefix
            prices.provider as provider,
            prices.model as model,
            prices.list_tier as list_tier,
            prices.valid_from as changed_on,
            prices.price_name as price_name,
            prices.input_usd_per_million as input_usd_per_million,
            prices.output_usd_per_million as output_usd_per_million,
            previous_prices.price_name as previous_name,
            {% for price in price_columns() %}
                previous_prices.{{ price }} as previous_{{ price }}{{ "," if not loop.last }}
            {% endfor %}
        from prices
        inner join
            previous_prices
            on prices.provider = previous_prices.provider
            and prices.model = previous_prices.model
            and prices.list_tier = previous_prices.list_tier
            and prices.tier_name = previous_prices.tier_name
            and prices.valid_from = previous_prices.valid_to
            {% for limit in ["from_minute", "to_minute", "above_input_tokens", "up_to_input_tokens"] %}
                and coalesce(prices.{{ limit }}, -1) = coalesce(previous_prices.{{ limit }}, -1)
            {% endfor %}
    ),

    usage as (
        select
            price_id as used_price,
            min(usage_date) as first_request_date,
            max(usage_date) as last_request_date,
            cast(count(*) as {{ data_type("count") }}) as requests,
            {% for tokens in [
                "input_tokens",
                "cache_read_tokens",
                "cache_write_tokens",
                "cache_write_1h_tokens",
                "output_tokens",
                "web_search_requests",
            ] %}
                cast(coalesce(sum({{ tokens }}), 0) as {{ data_type("count") }}) as all_{{ tokens }},
            {% endfor %}
            cast(sum(computed_cost_usd) as {{ data_type("money") }}) as current_cost_usd
        from {{ ref("tokenmart", "llm_requests") }}
        where price_id is not null and price_override_id is null and computed_cost_usd is not null
        group by price_id
    ),

    parts as (
        select
            changes.*,
            usage.*,
            {{
                token_cost(
                    "all_input_tokens - all_cache_read_tokens - all_cache_write_tokens",
                    "previous_input_usd_per_million",
                )
            }} as input_usd,
            {{
                token_cost(
                    "all_cache_read_tokens",
                    "coalesce(previous_cache_read_usd_per_million, previous_input_usd_per_million)",
                )
            }} as cache_read_usd,
            {{
                token_cost(
                    "all_cache_write_tokens - all_cache_write_1h_tokens",
                    "coalesce(previous_cache_write_usd_per_million, previous_input_usd_per_million)",
                )
            }} as cache_write_usd,
            {{
                token_cost(
                    "all_cache_write_1h_tokens",
                    "coalesce(previous_cache_write_1h_usd_per_million, previous_cache_write_usd_per_million, previous_input_usd_per_million)",
                )
            }}
            as cache_write_1h_usd,
            -- without an output price, there was no output to bill, or the cost is not known
            {{
                token_cost(
                    "all_output_tokens",
                    "case when all_output_tokens > 0 then previous_output_usd_per_million else 0 end",
                )
            }} as output_usd,
            cast(requests * coalesce(previous_request_usd, 0) as {{ data_type("money") }}) as fees_usd,
            cast(
                all_web_search_requests * case
                    when all_web_search_requests > 0 then previous_web_search_usd else 0
                end as {{ data_type("money") }}
            ) as searches_usd
        from changes
        inner join usage on changes.price_name = usage.used_price
    ),

    compared as (
        select
            parts.*,
            cast(
                input_usd
                + cache_read_usd
                + cache_write_usd
                + cache_write_1h_usd
                + output_usd
                + fees_usd
                + searches_usd as {{ data_type("money") }}
            ) as previous_price_cost_usd
        from parts
    )

select
    cast(provider as {{ data_type("dimension") }}) as provider,
    cast(model as {{ data_type("dimension") }}) as model,
    cast(list_tier as {{ data_type("dimension") }}) as service_tier,
    cast(changed_on as {{ data_type("date") }}) as changed_on,
    cast(price_name as {{ data_type("key") }}) as price_id,
    cast(previous_name as {{ data_type("key") }}) as previous_price_id,
    input_usd_per_million,
    previous_input_usd_per_million,
    output_usd_per_million,
    previous_output_usd_per_million,
    first_request_date,
    last_request_date,
    requests,
    current_cost_usd as computed_cost_usd,
    previous_price_cost_usd,
    cast(current_cost_usd - previous_price_cost_usd as {{ data_type("money") }}) as difference_usd
from compared
