{#
CTEs of which the last one, `costs`, has the requests of `priced` (from price_ctes), each with its computed cost, the parts of
this cost, what it would cost without caching, the cost that counts, why it counts, and a known fault of the reported cost. Costs
are in USD. They are NULL if the tokens or the prices are unknown.
#}
{% macro cost_ctes(priced) %}
    {%- set is_preferred = var("cost_preference") == "computed" -%}
    {%- set is_computed = "computed_cost_usd is not null" ~ (
        "" if is_preferred else " and reported_cost_usd is null"
    ) -%}
    {%- set prices = [
        "input_price",
        "cache_read_price",
        "cache_write_5m_price",
        "cache_write_1h_price",
        "output_price",
        "request_price",
        "web_search_price",
    ] -%}
    billed as (
        select
            {{ priced }}.*,
            is_computable * (
                coalesce(input_tokens, 0) - coalesce(cache_read_tokens, 0) - coalesce(cache_write_tokens, 0)
            ) as uncached_tokens,
            is_computable * coalesce(cache_read_tokens, 0) as cached_tokens,
            is_computable
            * (coalesce(cache_write_tokens, 0) - coalesce(cache_write_1h_tokens, 0)) as cache_written_5m_tokens,
            is_computable * coalesce(cache_write_1h_tokens, 0) as cache_written_1h_tokens,
            is_computable * coalesce(output_tokens, 0) as billed_output_tokens
        from {{ priced }}
    ),

    cost_parts as (
        select
            billed.*,
            {{ token_cost("uncached_tokens", "input_price") }} as input_cost_usd,
            {{ token_cost("cached_tokens", "cache_read_price") }} as cache_read_cost_usd,
            cast(
                {{ token_cost("cache_written_5m_tokens", "cache_write_5m_price") }}
                + {{ token_cost("cache_written_1h_tokens", "cache_write_1h_price") }} as {{ data_type("money") }}
            ) as cache_write_cost_usd,
            {{ token_cost("billed_output_tokens", "output_price") }} as output_cost_usd,
            cast(case when is_computable = 1 then request_price end as {{ data_type("money") }}) as request_cost_usd,
            cast(
                is_computable * coalesce(web_search_requests, 0) * web_search_price as {{ data_type("money") }}
            ) as web_search_cost_usd,
            {{ token_cost("is_computable * coalesce(input_tokens, 0)", "input_price") }} as all_input_cost_usd,
            {{ token_cost("cached_tokens", "input_price") }} as cached_tokens_as_input_usd
        from billed
    ),

    computed_costs as (
        select
            cost_parts.*,
            cast(
                input_cost_usd
                + cache_read_cost_usd
                + cache_write_cost_usd
                + output_cost_usd
                + request_cost_usd
                + web_search_cost_usd as {{ data_type("money") }}
            ) as computed_cost_usd,
            cast(
                all_input_cost_usd
                + output_cost_usd
                + request_cost_usd
                + web_search_cost_usd as {{ data_type("money") }}
            ) as cost_without_cache_usd
        from cost_parts
    ),

    costs as (
        select
            computed_costs.*,
            cast(
                case
                    when not is_billed
                    then cast(0 as {{ data_type("money") }})
                    {% if is_preferred %} else coalesce(computed_cost_usd, reported_cost_usd)
                    {% else %} else coalesce(reported_cost_usd, computed_cost_usd)
                    {% endif %}
                end as {{ data_type("money") }}
            ) as cost_usd,
            case
                when not is_billed
                then 'not_billed'
                when {{ is_computed }} and {{ prices | join(" + ") }} = 0
                then 'free'
                when {{ is_computed }}
                then 'computed'
                when reported_cost_usd is not null
                then 'reported'
                when input_tokens is null and output_tokens is null
                then 'unmetered'
                -- there is a price, but a token count is missing
                when priced_service_tier is not null and is_computable is null
                then 'unmetered'
                else 'unpriced'
            end as cost_basis,
            -- TokenLedger subtracts cached tokens from input that does not include them; it rounds to a millionth
            cast(
                case
                    when
                        source_format = 'tokenledger'
                        and lower(provider) = 'anthropic'
                        and cached_tokens > 0
                        and abs(reported_cost_usd - (computed_cost_usd - cached_tokens_as_input_usd)) <= 0.000001
                    then 'cached_input_subtracted'
                end as {{ data_type("label") }}
            ) as reported_cost_fault
        from computed_costs
    )
{%- endmacro %}
