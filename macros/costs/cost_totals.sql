{# The sums of the columns of cost_measures in a relation. #}
{% macro cost_totals(relation) %}
    {{
        sums_of(
            relation,
            ["requests", "priced_requests", "unpriced_requests", "unmetered_requests"],
            "count",
        )
    }},
    {{ sums_of(relation, token_columns(), "bigint") }},
    {{ sums_of(relation, cost_columns(), "money") }}
{%- endmacro %}
