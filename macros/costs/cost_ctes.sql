{#
CTEs of which the last one, `costs`, has the requests of `priced` (from price_ctes), each with its computed cost and the
parts of this cost, in USD. They are NULL if the tokens or the prices are unknown.
#}
{% macro cost_ctes(priced) %}
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
            {{ token_cost("billed_output_tokens", "output_price") }} as output_cost_usd
        from billed
    ),

    costs as (
        select
            cost_parts.*,
            cast(
                input_cost_usd
                + cache_read_cost_usd
                + cache_write_cost_usd
                + output_cost_usd as {{ data_type("money") }}
            ) as computed_cost_usd
        from cost_parts
    )
{%- endmacro %}
