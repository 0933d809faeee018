{#
The kinds of charges of focus_costs, in their order. Each has the requests that have such a charge, its cost and quantity for
one request, and the name and unit of its meter. The six parts of a computed cost, and the difference between the cost that
counts and the computed cost, are charges of requests with a computed cost. The cost of other requests is one charge, 'reported'.
#}
{% macro focus_charge_kinds() %}
    {% set quantities = {
        "input": "coalesce(input_tokens, 0) - coalesce(cache_read_tokens, 0) - coalesce(cache_write_tokens, 0)",
        "cache_read": "coalesce(cache_read_tokens, 0)",
        "cache_write": "coalesce(cache_write_tokens, 0)",
        "output": "coalesce(output_tokens, 0)",
        "request": "case when request_cost_usd <> 0 then 1 else 0 end",
        "web_search": "coalesce(web_search_requests, 0)",
    } %}
    {% set kinds = {} %}
    {% for kind, quantity in quantities.items() %}
        {% set meter = kind | replace("_", " ") | title ~ (" Tokens" if "tokens" in quantity else "") %}
        {% do kinds.update(
            {
                kind: {
                    "has_charge": "computed_cost_usd is not null",
                    "cost": kind ~ "_cost_usd",
                    "quantity": quantity,
                    "meter": meter,
                    "unit": (
                        "Tokens" if "tokens" in quantity else "Requests" if kind == "request" else "Searches"
                    ),
                }
            }
        ) %}
    {% endfor %}
    {% do kinds.update(
        reported={
            "has_charge": "computed_cost_usd is null",
            "cost": "cost_usd",
            "quantity": "1",
            "meter": "Reported Request",
            "unit": "Requests",
        },
        difference={
            "has_charge": "computed_cost_usd is not null",
            "cost": "cost_usd - computed_cost_usd",
            "quantity": "0",
            "meter": none,
            "unit": none,
        },
    ) %}
    {% do return(kinds) %}
{% endmacro %}
