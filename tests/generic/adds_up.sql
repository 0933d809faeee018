{# The costs, tokens and counts of the whole model are those of `relation`: llm_requests, or another model of costs. #}
{% test adds_up(model, relation) %}
    {% set counts = ["requests", "priced_requests", "unpriced_requests"] %}
    {% set sums = ["unmetered_requests"] + token_columns() + cost_columns() %}
    with

        model as (select * from {{ model }}),

        requests as (select * from {{ without_dependency(relation) }}),

        expected as (
            select {{ cost_measures("requests") if relation == "llm_requests" else cost_totals("requests") }}
            from requests
        ),

        found as (select {{ cost_totals("model") }} from model)

    select found.requests
    from found
    cross join expected
    where
        {# the sum over no row is NULL, where the count is 0 #}
        {% for column in counts %} coalesce(found.{{ column }}, 0) <> coalesce(expected.{{ column }}, 0) or {% endfor %}
        {% for column in sums %}
            found.{{ column }} is distinct from expected.{{ column }} {{ 'or' if not loop.last }}
        {% endfor %}
{% endtest %}
