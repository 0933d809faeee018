{# The columns of an event that are counts or amounts, and may therefore be running totals, each with its type. #}
{% macro cumulative_columns() %}
    {% do return(
        {
            "input_tokens": "bigint",
            "cache_read_tokens": "bigint",
            "cache_write_tokens": "bigint",
            "cache_write_1h_tokens": "bigint",
            "output_tokens": "bigint",
            "reasoning_tokens": "bigint",
            "reported_cost_usd": "money",
            "water_ml": "money",
            "energy_wh": "money",
        }
    ) %}
{% endmacro %}
