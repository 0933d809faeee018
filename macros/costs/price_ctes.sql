{#
CTEs of which the last one, `priced`, has the requests of the CTE `requests`, each with its prices in USD per million tokens.
The prices are NULL if the model has no price on the UTC day of the request. The model's name is looked up in the prices of the
request's provider first, then in the prices of the vendors, each in the order of match_order.
#}
{% macro price_ctes(requests) %}
    {%- set provider, model = "coalesce(lower(" ~ requests ~ ".provider), '')", "lower(" ~ requests ~ ".model)" -%}
    {%- set utc_date = "cast(" ~ requests ~ ".occurred_at as " ~ data_type("date") ~ ")" -%}
    prices as (select * from {{ ref("tokenmart", "model_prices") }}),

    model_days as (
        select distinct {{ provider }} as provider, {{ model }} as model, {{ utc_date }} as utc_date
        from {{ requests }}
        where {{ requests }}.model is not null
    ),

    model_names as (select distinct provider, model from model_days),

    -- the best pattern for each name, with all its periods, because these have the same rank
    matches as (
        select
            model_names.provider as request_provider,
            model_names.model as request_model,
            prices.*,
            rank() over (
                partition by model_names.provider, model_names.model
                order by
                    case when prices.provider = model_names.provider then 0 else 1 end,
                    prices.match_order,
                    prices.provider,
                    prices.model_pattern
            ) as match_rank
        from model_names
        cross join prices
        where
            model_names.model like prices.model_pattern and (prices.provider = model_names.provider or prices.is_vendor)
    ),

    -- one row per name and day, so that the join with requests needs only equality
    day_prices as (
        select
            model_days.provider,
            model_days.model,
            model_days.utc_date,
            cast(1 as {{ data_type("bigint") }}) as has_prices,
            matches.input_usd_per_million,
            coalesce(matches.cache_read_usd_per_million, matches.input_usd_per_million) as cache_read_usd_per_million,
            coalesce(matches.cache_write_usd_per_million, matches.input_usd_per_million) as cache_write_usd_per_million,
            coalesce(
                matches.cache_write_1h_usd_per_million,
                matches.cache_write_usd_per_million,
                matches.input_usd_per_million
            ) as cache_write_1h_usd_per_million,
            matches.output_usd_per_million
        from model_days
        inner join
            matches on model_days.provider = matches.request_provider and model_days.model = matches.request_model
        where
            matches.match_rank = 1
            and model_days.utc_date >= coalesce(matches.valid_from, date '2000-01-01')
            and model_days.utc_date < coalesce(matches.valid_to, date '2100-01-01')
    ),

    priced as (
        select
            {{ requests }}.*,
            day_prices.input_usd_per_million as input_price,
            day_prices.cache_read_usd_per_million as cache_read_price,
            day_prices.cache_write_usd_per_million as cache_write_5m_price,
            day_prices.cache_write_1h_usd_per_million as cache_write_1h_price,
            -- a model without an output price, such as an embedding, has no output to bill
            case
                when {{ requests }}.output_tokens > 0
                then day_prices.output_usd_per_million
                else coalesce(day_prices.output_usd_per_million, 0)
            end as output_price,
            -- if it is NULL, so is the cost: prices or token counts are missing
            case
                when
                    day_prices.has_prices = 1
                    and {{ requests }}.input_tokens is not null
                    and ({{ requests }}.output_tokens is not null or day_prices.output_usd_per_million is null)
                then 1
            end as is_computable
        from {{ requests }}
        left join
            day_prices
            on {{ provider }} = day_prices.provider
            and {{ model }} = day_prices.model
            and {{ utc_date }} = day_prices.utc_date
    )
{%- endmacro %}
