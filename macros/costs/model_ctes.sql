{#
CTEs of which the last one, `listed_models`, has each provider and model of the CTE `requests` that a price list has, as they
are in `keyed` (lower case): the provider of the list, the model's name in it, and why the list applies. A provider's own list
comes first, then the lists of the vendors whose prices it passes on. Only if the provider is unknown, any vendor's list applies.
#}
{% macro model_ctes(requests) %}
    keyed as (
        select
            {{ requests }}.*,
            coalesce(lower({{ requests }}.provider), '') as provider_key,
            lower({{ requests }}.model) as model_key,
            case
                when
                    lower(coalesce({{ requests }}.service_tier, ''))
                    in ('', 'default', 'auto', 'standard', 'on_demand', 'standard_only')
                then 'standard'
                else lower({{ requests }}.service_tier)
            end as tier_key,
            cast({{ requests }}.occurred_at as {{ data_type("date") }}) as utc_date,
            cast(
                extract(hour from {{ requests }}.occurred_at) * 60
                + extract(minute from {{ requests }}.occurred_at) as {{ data_type("bigint") }}
            ) as utc_minute,
            coalesce({{ requests }}.input_tokens, 0) as prompt_tokens
        from {{ requests }}
    ),

    model_names as (select * from {{ ref("tokenmart", "model_names") }}),

    provider_aliases as (select * from {{ ref("tokenmart", "provider_aliases") }}),

    passed_on_prices as (select * from {{ ref("tokenmart", "passed_on_prices") }}),

    names as (select distinct provider_key, model_key from keyed where model_key is not null),

    list_names as (
        select distinct model_names.provider as listed_name, model_names.provider as price_provider
        from model_names
        union all
        select provider_aliases.alias as listed_name, provider_aliases.provider as price_provider
        from provider_aliases
    ),

    price_lists as (
        select list_names.listed_name, list_names.price_provider, 'provider' as price_basis
        from list_names
        union all
        select list_names.listed_name, passed_on_prices.vendor as price_provider, 'passed_on' as price_basis
        from list_names
        inner join passed_on_prices on list_names.price_provider = passed_on_prices.provider
        union all
        select distinct '' as listed_name, model_names.provider as price_provider, 'vendor' as price_basis
        from model_names
        where model_names.is_vendor
    ),

    matches as (
        select
            names.provider_key,
            names.model_key,
            model_names.provider as price_provider,
            model_names.model as canonical_model,
            price_lists.price_basis,
            row_number() over (
                partition by names.provider_key, names.model_key
                order by
                    case when price_lists.price_basis = 'provider' then 0 else 1 end,
                    model_names.match_order,
                    model_names.provider,
                    model_names.model_pattern
            ) as match_rank
        from names
        inner join price_lists on names.provider_key = price_lists.listed_name
        inner join model_names on price_lists.price_provider = model_names.provider
        where
            names.model_key like model_names.model_pattern
            and (price_lists.price_basis = 'provider' or model_names.is_vendor)
    ),

    listed_models as (
        select provider_key, model_key, price_provider, canonical_model, price_basis from matches where match_rank = 1
    )
{%- endmacro %}
