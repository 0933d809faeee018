{#
CTEs of which the last one, `priced`, has the requests of `list_priced` (from price_ctes), each with the prices that it is billed
with: those of the row of price_overrides that holds for it, its list prices less the discount of this row, or its list prices.
If several rows hold, the order of `request_overrides` decides. Without a price, all prices are NULL.
#}
{% macro override_ctes(list_priced) %}
    {% if has_price_overrides() %}
        price_overrides as (select * from {{ user_seed("price_overrides") }}),

        -- a request's provider as reported, its name in the price lists, and if none is reported, the model's vendor
        override_providers as (
            select names.provider_key, names.model_key, names.provider_key as provider_name
            from names
            union all
            select names.provider_key, names.model_key, list_names.list_provider as provider_name
            from names
            inner join list_names on names.provider_key = list_names.listed_name
            union all
            select listed_models.provider_key, listed_models.model_key, listed_models.price_provider as provider_name
            from listed_models
            where listed_models.price_basis <> 'passed_on'
        ),

        override_matches as (
            select
                override_providers.provider_key as matched_provider,
                override_providers.model_key as matched_model,
                price_overrides.*
            from override_providers
            left join
                listed_models
                on override_providers.provider_key = listed_models.provider_key
                and override_providers.model_key = listed_models.model_key
            cross join price_overrides
            where
                lower(coalesce(price_overrides.provider, '')) in ('', override_providers.provider_name)
                and (
                    override_providers.model_key like lower(price_overrides.model_pattern)
                    or coalesce(listed_models.canonical_model, '') like lower(price_overrides.model_pattern)
                )
        ),

        request_overrides as (
            select
                {{ list_priced }}.event_id as overridden_event_id,
                cast(override_matches.override_id as {{ data_type("label") }}) as override_name,
                cast(
                    case
                        when coalesce(override_matches.service_tier, '') = ''
                        then {{ list_priced }}.asked_tier
                        else {{ service_tier_key("override_matches.service_tier") }}
                    end as {{ data_type("label") }}
                ) as override_tier,
                override_matches.discount_share,
                {% for price in price_columns() %} override_matches.{{ price }} as override_{{ price }}, {% endfor %}
                row_number() over (
                    partition by {{ list_priced }}.event_id
                    order by
                        {% for scope in ["project", "team", "provider", "service_tier"] %}
                            case when coalesce(override_matches.{{ scope }}, '') = '' then 1 else 0 end,
                        {% endfor %}
                        length(override_matches.model_pattern) desc,
                        coalesce(override_matches.valid_from, date '2000-01-01') desc,
                        override_matches.override_id
                ) as override_rank
            from {{ list_priced }}
            inner join
                override_matches
                on {{ list_priced }}.asked_provider = override_matches.matched_provider
                and {{ list_priced }}.asked_model = override_matches.matched_model
            where
                (
                    coalesce(override_matches.service_tier, '') = ''
                    or {{ service_tier_key("override_matches.service_tier") }} = {{ list_priced }}.asked_tier
                )
                {% for scope in ["project", "team"] %}
                    and (
                        coalesce(override_matches.{{ scope }}, '') = ''
                        or override_matches.{{ scope }} = {{ list_priced }}.{{ scope }}
                    )
                {% endfor %}
                and {{ list_priced }}.utc_date >= coalesce(override_matches.valid_from, date '2000-01-01')
                and {{ list_priced }}.utc_date < coalesce(override_matches.valid_to, date '2100-01-01')
        ),

        billed_prices as (
            select
                {{ list_priced }}.*,
                overrides.override_name as price_override_id,
                cast(
                    case
                        when overrides.override_name is null or overrides.discount_share is not null
                        then {{ list_priced }}.list_price_id
                    end as {{ data_type("label") }}
                ) as price_id,
                cast(
                    case
                        when
                            overrides.override_name is null
                            or {{ list_priced }}.list_price_id is null
                            and overrides.discount_share is not null
                        then {{ list_priced }}.list_price_basis
                        else 'override'
                    end as {{ data_type("label") }}
                ) as price_basis,
                cast(
                    case
                        when overrides.override_name is null or overrides.discount_share is not null
                        then {{ list_priced }}.list_service_tier
                        else overrides.override_tier
                    end as {{ data_type("label") }}
                ) as priced_service_tier,
                {% for price in price_columns() %}
                    case
                        when overrides.override_name is null
                        then {{ list_priced }}.list_{{ price }}
                        -- a discount has at most three decimal places, so the product is exact before it is rounded
                        when overrides.discount_share is not null
                        then round({{ list_priced }}.list_{{ price }} * (1 - overrides.discount_share), 6)
                        else overrides.override_{{ price }}
                    end as {{ price }}{{ "," if not loop.last }}
                {% endfor %}
            from {{ list_priced }}
            left join
                (select * from request_overrides where override_rank = 1) as overrides
                on {{ list_priced }}.event_id = overrides.overridden_event_id
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
            -- a model without an output price, such as an embedding, has no output to bill
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
                    and (output_tokens is not null or output_usd_per_million is null)
                then 1
            end as is_computable
        from billed_prices
    )
{%- endmacro %}
