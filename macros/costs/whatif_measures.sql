{#
The measures of whatif_costs, for its CTE `answers`. Sums are over the compared requests: those whose actual and hypothetical costs
are both known. The other requests are counted by what is unknown: the token counts, the hypothetical price, or the actual cost.
The remaining counts show where the comparison is less certain.
#}
{% macro whatif_measures() %}
    {%- set compared, unpriced = "answers.outcome = 'compared'", "answers.outcome = 'unpriced'" -%}
    {%- set counts = {
        "compared_requests": compared,
        "unmetered_requests": "answers.outcome = 'unmetered'",
        "unpriced_requests": unpriced,
        "uncosted_requests": "answers.outcome = 'uncosted'",
        "unlisted_requests": unpriced ~ " and answers.canonical_model is null",
        "unpriced_search_requests": (
            unpriced ~ " and answers.priced_service_tier is not null and answers.web_search_price is null"
        ),
        "reported_requests": compared ~ " and answers.actual_cost_basis= 'reported'",
        "uncomputed_requests": (
            compared ~ " and answers.is_billed and answers.actual_computed_cost_usd is null"
        ),
        "other_model_requests": (
            compared ~ " and answers.canonical_model is distinct from answers.actual_canonical_model"
        ),
        "other_family_requests": (
            compared ~ " and answers.model_family is distinct from answers.actual_model_family"
        ),
        "vendor_priced_requests": (
            compared ~ " and answers.provider_order = 2 and answers.actual_provider is not null"
        ),
        "overridden_requests": compared ~ " and answers.price_override_id is not null",
        "standard_priced_requests": (
            compared
            ~ " and answers.priced_service_tier = 'standard' and "
            ~ service_tier_key("answers.service_tier")
            ~ " <> 'standard'"
        ),
        "long_prompt_requests": compared ~ " and answers.is_long_prompt = 1",
        "cache_read_as_input_requests": (
            compared
            ~ " and answers.cached_tokens > 0 and answers.cache_read_price = nullif(answers.input_price, 0)"
        ),
        "cache_write_as_input_requests": (
            compared
            ~ " and answers.cache_written_5m_tokens + answers.cache_written_1h_tokens > 0"
            ~ " and answers.cache_write_5m_price = nullif(answers.input_price, 0)"
        ),
        "cache_write_1h_as_5m_requests": (
            compared
            ~ " and answers.cache_written_1h_tokens > 0"
            ~ " and answers.cache_write_1h_price = answers.cache_write_5m_price"
            ~ " and answers.cache_write_5m_price <> answers.input_price"
        ),
    } -%}
    {%- set amounts = {"actual": ["computed_cost_usd"], "whatif": []} -%}
    {%- for column in cost_columns() + ["cost_without_cache_usd"] -%}
        {%- if column not in ["reported_cost_usd", "computed_cost_usd"] -%}
            {%- do amounts.actual.append(column) -%} {%- do amounts.whatif.append(column) -%}
        {%- endif -%}
    {%- endfor -%}

    cast(count(*) as {{ data_type("count") }}) as requests,
    {%- for name, condition in counts.items() %}
        cast(count(case when {{ condition }} then 1 end) as {{ data_type("count") }}) as {{ name }},
    {%- endfor %}
    {%- for column in token_columns() + ["web_search_requests"] %}
        cast(
            sum(case when {{ compared }} then answers.actual_{{ column }} end) as {{ data_type("bigint") }}
        ) as {{ column }},
    {%- endfor %}
    {%- for side, columns in amounts.items() %}
        {%- for column in columns %}
            cast(
                sum(
                    case when {{ compared }} then answers.{{ "actual_" if side == "actual" }}{{ column }} end
                ) as {{ data_type("money") }}
            ) as {{ side }}_{{ column }},
        {%- endfor %}
    {%- endfor %}
    cast(
        sum(case when {{ compared }} then answers.cost_usd - answers.actual_cost_usd end) as {{ data_type("money") }}
    ) as difference_usd,
    cast(
        count(distinct case when {{ compared }} then answers.price_name end) as {{ data_type("count") }}
    ) as price_rows,
    min(case when {{ compared }} then answers.price_name end) as first_price_name,
    min(answers.usage_date) as first_date,
    max(answers.usage_date) as last_date
{%- endmacro %}
