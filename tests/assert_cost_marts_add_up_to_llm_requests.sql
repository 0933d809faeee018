-- Requests, tokens and money of every cost mart add up to those of llm_requests, to the last digit.
{% set marts = [
    ref("daily_costs"),
    ref("hourly_costs"),
    ref("daily_costs_by_model"),
    ref("daily_costs_by_user"),
    ref("daily_costs_by_attribution"),
    ref("users"),
    ref("sessions"),
] %}
with

    expected as (select {{ cost_measures("requests") }} from {{ ref("llm_requests") }} as requests),

    found as (
        {% for mart in marts %}
            select '{{ mart.identifier }}' as mart, {{ cost_totals("mart") }}
            from {{ mart }} as mart {{ 'union all' if not loop.last }}
        {% endfor %}
    )

select found.mart
from found
cross join expected
where
    {# the sum over no row is NULL, where the count is 0 #}
    {% for column in ["requests", "priced_requests", "unpriced_requests"] %}
        coalesce(found.{{ column }}, 0) <> expected.{{ column }} or
    {% endfor %}
    {% for column in ["unmetered_requests"] + token_columns() + cost_columns() %}
        found.{{ column }} is distinct from expected.{{ column }} {{ 'or' if not loop.last }}
    {% endfor %}
