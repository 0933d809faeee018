{#
CTEs of which the last one, `priced`, has the requests of `list_priced` (from price_ctes), each with the prices that it is billed
with: those of the row of price_overrides that holds for it, its list prices less the discount of this row, or its list prices.
If several rows hold, the order of `ranked_candidates` decides. Without a price, and if a request is not billed, all prices are NULL.
#}
{% macro override_ctes(list_priced) %}
    {% if has_price_overrides() %}
        price_overrides as (select * from {{ user_seed("price_overrides") }}),

        -- a request's provider as reported, its name in the price lists, and if none is reported, the model's vendor
        named_models as (
            select
                names.provider_key as matched_provider,
                names.model_key as matched_model,
                coalesce(list_names.list_provider, '') as list_provider,
                case
                    when listed_models.price_basis <> 'passed_on' then listed_models.price_provider else ''
                end as vendor,
                coalesce(listed_models.canonical_model, '') as canonical_name
            from names
            left join list_names on names.provider_key = list_names.listed_name
            left join
                listed_models
                on names.provider_key = listed_models.provider_key
                and names.model_key = listed_models.model_key
        ),

        override_matches as (
            select
                named_models.matched_provider,
                named_models.matched_model,
                cast(price_overrides.override_id as {{ data_type("label") }}) as override_name,
                {% for column in ["provider", "service_tier", "team", "project"] %}
                    coalesce(price_overrides.{{ column }}, '') as override_{{ column }},
                {% endfor %}
                length(price_overrides.model_pattern) as pattern_length,
                coalesce(price_overrides.valid_from, date '2000-01-01') as override_from,
                coalesce(price_overrides.valid_to, date '2100-01-01') as override_to,
                price_overrides.discount_share,
                {% for price in price_columns() %}
                    price_overrides.{{ price }} as override_{{ price }}{{ "," if not loop.last }}
                {% endfor %}
            from named_models
            cross join price_overrides
            where
                lower(coalesce(price_overrides.provider, ''))
                in ('', named_models.matched_provider, named_models.list_provider, named_models.vendor)
                and (
                    named_models.matched_model like lower(price_overrides.model_pattern)
                    or named_models.canonical_name like lower(price_overrides.model_pattern)
                )
        ),

        -- each request with the rows for its model, or without one
        candidates as (
            select
                {{ list_priced }}.*,
                override_matches.*,
                cast(
                    case
                        when
                            (
                                override_service_tier = ''
                                or {{ service_tier_key("override_service_tier") }} = {{ list_priced }}.asked_tier
                            )
                            {% for scope in ["project", "team"] %}
                                and (override_{{ scope }} = '' or override_{{ scope }} = {{ list_priced }}.{{ scope }})
                            {% endfor %}
                            and {{ list_priced }}.utc_date >= override_from
                            and {{ list_priced }}.utc_date < override_to
                            and coalesce({{ list_priced }}.is_billed, true)
                        then override_name
                    end as {{ data_type("label") }}
                ) as price_override_id
            from {{ list_priced }}
            left join
                override_matches
                on {{ list_priced }}.asked_provider = override_matches.matched_provider
                and {{ list_priced }}.asked_model = override_matches.matched_model
        ),

        ranked_candidates as (
            select
                candidates.*,
                row_number() over (
                    partition by event_id
                    order by
                        case when price_override_id is null then 1 else 0 end,
                        {% for scope in ["project", "team", "provider", "service_tier"] %}
                            case when override_{{ scope }} = '' then 1 else 0 end,
                        {% endfor %}
                        pattern_length desc,
                        override_from desc,
                        override_name
                ) as override_rank
            from candidates
        ),

        billed_prices as (
            select
                ranked_candidates.*,
                cast(
                    case
                        when price_override_id is null or discount_share is not null then list_price_id
                    end as {{ data_type("label") }}
                ) as price_id,
                cast(
                    case
                        when price_override_id is null or discount_share is not null and list_price_id is null
                        then list_price_basis
                        else 'override'
                    end as {{ data_type("label") }}
                ) as price_basis,
                cast(
                    case
                        when price_override_id is null or discount_share is not null
                        then list_service_tier
                        when override_service_tier = ''
                        then asked_tier
                        else {{ service_tier_key("override_service_tier") }}
                    end as {{ data_type("label") }}
                ) as priced_service_tier,
                {% for price in price_columns() %}
                    case
                        when price_override_id is null
                        then list_{{ price }}
                        -- a discount has at most three decimal places, so the product is exact before it is rounded
                        when discount_share is not null
                        then round(list_{{ price }} * (1 - discount_share), 6)
                        else override_{{ price }}
                    end as {{ price }}{{ "," if not loop.last }}
                {% endfor %}
            from ranked_candidates
            where override_rank = 1
        ),
    {% else %}
        billed_prices as (
            select
                {{ list_priced }}.*,
                cast(null as {{ data_type("label") }}) as price_override_id,
                {{ list_priced }}.list_price_id as price_id,
                {{ list_priced }}.list_price_basis as price_basis,
                {{ list_priced }}.list_service_tier as priced_service_tier,
                {% for price in price_columns() %}
                    {{ list_priced }}.list_{{ price }} as {{ price }}{{ "," if not loop.last }}
                {% endfor %}
            from {{ list_priced }}
        ),
    {% endif %}

    priced as (
        select
            billed_prices.*,
            input_usd_per_million as input_price,
            coalesce(cache_read_usd_per_million, input_usd_per_million) as cache_read_price,
            coalesce(cache_write_usd_per_million, input_usd_per_million) as cache_write_5m_price,
            coalesce(
                cache_write_1h_usd_per_million, cache_write_usd_per_million, input_usd_per_million
            ) as cache_write_1h_price,
            -- output without a price makes the cost unknown
            case
                when output_tokens > 0 then output_usd_per_million else coalesce(output_usd_per_million, 0)
            end as output_price,
            coalesce(request_usd, 0) as request_price,
            -- a search without a price makes the cost unknown
            case
                when web_search_requests > 0 then web_search_usd else coalesce(web_search_usd, 0)
            end as web_search_price,
            -- if it is NULL, so is the cost: prices or token counts are missing
            case
                when
                    priced_service_tier is not null
                    and input_tokens is not null
                    and (output_tokens is not null or coalesce(output_usd_per_million, 0) = 0)
                then 1
            end as is_computable
        from billed_prices
    )
{%- endmacro %}
