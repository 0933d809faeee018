{# The columns of an event that are counts or amounts: what a running total is a total of. #}
{% macro counted_columns() %}
    {% do return(
        ["input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens"]
        + ["reasoning_tokens", "reported_cost_usd", "water_ml", "energy_wh"]
    ) %}
{% endmacro %}
