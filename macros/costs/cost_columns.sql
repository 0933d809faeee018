{% macro cost_columns() %}
    {% do return(
        [
            "cost_usd",
            "reported_cost_usd",
            "computed_cost_usd",
            "input_cost_usd",
            "cache_read_cost_usd",
            "cache_write_cost_usd",
            "output_cost_usd",
            "request_cost_usd",
            "web_search_cost_usd",
        ]
    ) %}
{% endmacro %}
