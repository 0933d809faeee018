{#
Counts and sums that show how the costs of requests were found, and what can be wrong with them: the counts of each cost basis, of
prices that may not be those that were billed, of requests without a time of their own, and of reported costs that differ from computed ones by more than a millionth of a
dollar; the sums of both for the requests that have both; and what the requests with a computed cost would cost without caching.
#}
{% macro cost_check_measures(requests) %}
    {%- set has_both = (
        requests ~ ".reported_cost_usd is not null and " ~ requests ~ ".computed_cost_usd is not null"
    ) -%}
    {%- set counts = {
        "reported_requests": requests ~ ".cost_basis= 'reported'",
        "computed_requests": requests ~ ".cost_basis= 'computed'",
        "free_requests": requests ~ ".cost_basis= 'free'",
        "not_billed_requests": requests ~ ".cost_basis= 'not_billed'",
        "vendor_priced_requests": requests ~ ".price_basis= 'vendor'",
        "standard_priced_requests": (
            requests
            ~ ".priced_service_tier = 'standard' and "
            ~ service_tier_key(requests ~ ".service_tier")
            ~ " <> 'standard'"
        ),
        "estimated_requests": requests ~ ".is_estimate",
        "undated_requests": requests ~ ".time_basis <> 'reported'",
        "compared_requests": has_both,
        "differing_requests": (
            has_both
            ~ " and abs("
            ~ requests
            ~ ".reported_cost_usd - "
            ~ requests
            ~ ".computed_cost_usd) > 0.000001"
        ),
        "faulty_requests": requests ~ ".reported_cost_fault is not null",
    } -%}
    {%- for name, condition in counts.items() %}
        cast(sum(case when {{ condition }} then 1 else 0 end) as {{ data_type("count") }}) as {{ name }},
    {%- endfor %}
    {%- for side in ["reported", "computed"] %}
        cast(
            sum(case when {{ has_both }} then {{ requests }}.{{ side }}_cost_usd end) as {{ data_type("money") }}
        ) as compared_{{ side }}_cost_usd,
    {%- endfor %}
    {{ sums_of(requests, ["cost_without_cache_usd"], "money") }}
{%- endmacro %}
