{#
CTEs of which the last one, `list_priced`, has the requests of `keyed`, each with its list prices: the columns of price_columns,
with the prefix list_. At most one row of the price list holds for the tier, the UTC date and minute and the input tokens of a request. A tier without
prices, and every tier of a price that is passed on, has the prices of the standard tier. Without a price, and if a request is not
billed, all prices are NULL.
#}
{% macro price_ctes(keyed, listed_models, model_regions) %}
    {%- set bigint = data_type("bigint") -%}
    prices as ({{ named_prices("model_prices") }}),

    asked_tiers as (
        select distinct
            listed.provider_key as provider_key,
            listed.model_key as model_key,
            keyed.tier_key,
            listed.price_provider,
            listed.listed_model,
            listed.canonical_model,
            listed.model_family,
            listed.price_basis,
            case when listed.price_basis = 'passed_on' then 'standard' else keyed.tier_key end as price_tier
        from {{ keyed }} as keyed
        inner join
            {{ listed_models }} as listed
            on keyed.provider_key = listed.provider_key
            and keyed.model_key = listed.model_key
    ),

    -- the model's prices in the tier, and if there are none, its standard prices
    tier_prices as (
        select
            asked_tiers.*,
            prices.price_name,
            prices.tier_name as priced_tier,
            {% for price in price_columns() %} prices.{{ price }}, {% endfor %}
            coalesce(prices.valid_from, date '2000-01-01') as valid_from,
            coalesce(prices.valid_to, date '2100-01-01') as valid_to,
            coalesce(prices.from_minute, cast(0 as {{ bigint }})) as from_minute,
            coalesce(prices.to_minute, cast(1440 as {{ bigint }})) as to_minute,
            coalesce(prices.above_input_tokens, cast(-1 as {{ bigint }})) as above_input_tokens,
            coalesce(prices.up_to_input_tokens, cast(1000000000000000000 as {{ bigint }})) as up_to_input_tokens,
            rank() over (
                partition by asked_tiers.provider_key, asked_tiers.model_key, asked_tiers.tier_key
                order by case when prices.list_tier = asked_tiers.price_tier then 0 else 1 end
            ) as tier_rank
        from asked_tiers
        left join
            prices
            on asked_tiers.price_provider = prices.provider
            and asked_tiers.listed_model = prices.model
            and (prices.list_tier = asked_tiers.price_tier or prices.list_tier = 'standard')
    ),

    request_prices as (
        select
            tier_prices.*,
            cast(tier_prices.canonical_model as {{ data_type("label") }}) as canonical_name,
            cast(tier_prices.model_family as {{ data_type("label") }}) as family_name,
            cast(
                case
                    when tier_prices.priced_tier is not null then tier_prices.price_name
                end as {{ data_type("label") }}
            ) as price_row,
            cast(
                case
                    when tier_prices.priced_tier is not null then tier_prices.price_basis
                end as {{ data_type("label") }}
            ) as basis
        from tier_prices
        where tier_prices.tier_rank = 1
    ),

    list_priced as (
        select
            keyed.*,
            -- some warehouses keep the prefix of columns that several relations have
            keyed.provider_key as asked_provider,
            keyed.model_key as asked_model,
            keyed.tier_key as asked_tier,
            request_prices.canonical_name as canonical_model,
            request_prices.family_name as model_family,
            {{ model_regions }}.model_region,
            {% for name, column in {
                "price_id": "price_row",
                "price_basis": "basis",
                "service_tier": "priced_tier",
            }.items() %}
                cast(
                    case
                        when not keyed.is_billed then null else request_prices.{{ column }}
                    end as {{ data_type("label") }}
                ) as list_{{ name }},
            {% endfor %}
            {% for price in price_columns() %}
                case when not keyed.is_billed then null else request_prices.{{ price }} end as list_{{ price }}
                {{- "," if not loop.last }}
            {% endfor %}
        from {{ keyed }} as keyed
        left join
            request_prices
            on keyed.provider_key = request_prices.provider_key
            and keyed.model_key = request_prices.model_key
            and keyed.tier_key = request_prices.tier_key
            and keyed.utc_date >= request_prices.valid_from
            and keyed.utc_date < request_prices.valid_to
            and keyed.utc_minute >= request_prices.from_minute
            and keyed.utc_minute < request_prices.to_minute
            and keyed.prompt_tokens > request_prices.above_input_tokens
            and keyed.prompt_tokens <= request_prices.up_to_input_tokens
        left join {{ model_regions }} on keyed.model_key = {{ model_regions }}.prefixed_key
    )
{%- endmacro %}
