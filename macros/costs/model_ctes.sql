{#
CTEs of which the last one, `listed_models`, has each provider and model of the CTE `requests` that a price list has, as they
are in `keyed` (lower case): the provider of the list, the model's name in it, its names without version and region, and why the
list applies. A provider's own list comes first, then the lists of the vendors whose prices it passes on. If the provider is
unknown, the prefix of the name decides, and without a prefix, any vendor's list applies.
#}
{% macro model_ctes(requests) %}
    keyed as (
        select
            {{ requests }}.*,
            coalesce(lower({{ requests }}.provider), '') as provider_key,
            lower({{ requests }}.model) as model_key,
            {{ service_tier_key(requests ~ ".service_tier") }} as tier_key,
            cast({{ requests }}.occurred_at as {{ data_type("date") }}) as utc_date,
            cast(
                extract(hour from {{ requests }}.occurred_at) * 60
                + extract(minute from {{ requests }}.occurred_at) as {{ data_type("bigint") }}
            ) as utc_minute,
            coalesce({{ requests }}.input_tokens, 0) as prompt_tokens
        from {{ requests }}
    ),

    model_prices as (select * from {{ ref("tokenmart", "model_prices") }}),

    name_patterns as (select * from {{ ref("tokenmart", "model_names") }}),

    model_names as (
        select provider, model_pattern, match_order, model, canonical_model, model_family, is_vendor
        from name_patterns
        union all
        -- a model that has only a price is found by exactly its name
        select distinct
            model_prices.provider,
            lower(model_prices.model) as model_pattern,
            cast(0 as {{ data_type("count") }}) as match_order,
            model_prices.model,
            lower(model_prices.model) as canonical_model,
            lower(model_prices.model) as model_family,
            false as is_vendor
        from model_prices
        where
            {{ dbt.concat(["model_prices.provider", "'/'", "model_prices.model"]) }}
            not in (select {{ dbt.concat(["provider", "'/'", "model"]) }} from name_patterns)
    ),

    model_prefixes as (select * from {{ ref("tokenmart", "model_prefixes") }}),

    provider_aliases as (select * from {{ ref("tokenmart", "provider_aliases") }}),

    passed_on_prices as (select * from {{ ref("tokenmart", "passed_on_prices") }}),

    names as (select distinct provider_key, model_key from keyed where model_key is not null),

    prefixes as (
        select
            models.model_key as prefixed_key,
            substr(models.model_key, length(coalesce(model_prefixes.removed_prefix, '')) + 1) as short_name,
            model_prefixes.provider as prefix_provider,
            model_prefixes.model_region,
            row_number() over (
                partition by models.model_key order by length(model_prefixes.prefix_pattern) desc
            ) as prefix_rank
        from (select distinct model_key from names) as models
        cross join model_prefixes
        where models.model_key like model_prefixes.prefix_pattern
    ),

    model_regions as (
        select prefixed_key, short_name, prefix_provider, model_region from prefixes where prefix_rank = 1
    ),

    -- the names to look up: as reported, and without a prefix
    spellings as (
        select provider_key, model_key, model_key as spelling, provider_key as listed_name, '' as prefix_provider
        from names
        where provider_key <> '' or model_key not in (select prefixed_key from model_regions)
        union all
        select
            names.provider_key,
            names.model_key,
            model_regions.short_name as spelling,
            case
                when names.provider_key = '' then model_regions.prefix_provider else names.provider_key
            end as listed_name,
            model_regions.prefix_provider
        from names
        inner join model_regions on names.model_key = model_regions.prefixed_key
    ),

    list_names as (
        select distinct model_names.provider as listed_name, model_names.provider as list_provider
        from model_names
        union all
        select provider_aliases.alias as listed_name, provider_aliases.provider as list_provider
        from provider_aliases
    ),

    price_lists as (
        select
            list_names.listed_name,
            list_names.list_provider,
            list_names.list_provider as price_provider,
            'provider' as price_basis
        from list_names
        union all
        select
            list_names.listed_name,
            list_names.list_provider,
            passed_on_prices.vendor as price_provider,
            'passed_on' as price_basis
        from list_names
        inner join passed_on_prices on list_names.list_provider = passed_on_prices.provider
        union all
        select distinct
            '' as listed_name, '' as list_provider, model_names.provider as price_provider, 'vendor' as price_basis
        from model_names
        where model_names.is_vendor
    ),

    matches as (
        select
            spellings.provider_key,
            spellings.model_key,
            model_names.provider as price_provider,
            model_names.model as listed_model,
            model_names.canonical_model,
            model_names.model_family,
            price_lists.price_basis,
            row_number() over (
                partition by spellings.provider_key, spellings.model_key
                order by
                    case when price_lists.price_basis = 'provider' then 0 else 1 end,
                    length(spellings.prefix_provider),
                    model_names.match_order,
                    model_names.provider,
                    model_names.model_pattern
            ) as match_rank
        from spellings
        inner join price_lists on spellings.listed_name = price_lists.listed_name
        inner join model_names on price_lists.price_provider = model_names.provider
        where
            spellings.spelling like model_names.model_pattern
            and (price_lists.price_basis = 'provider' or model_names.is_vendor)
            -- the prefix of another provider is a part of the name
            and spellings.prefix_provider in ('', price_lists.list_provider, price_lists.price_provider)
    ),

    listed_models as (
        select provider_key, model_key, price_provider, listed_model, canonical_model, model_family, price_basis
        from matches
        where match_rank = 1
    )
{%- endmacro %}
