{# The columns of an event that are counts or amounts, and may therefore be running totals, each with its type. #}
{% macro cumulative_columns() %}
    {% set columns = {} %}
    {% for name in ["input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens"] %}
        {% do columns.update({name: "bigint"}) %}
    {% endfor %}
    {% for name in ["output_tokens", "reasoning_tokens"] %} {% do columns.update({name: "bigint"}) %} {% endfor %}
    {% for name in ["reported_cost_usd", "water_ml", "energy_wh"] %}
        {% do columns.update({name: "money"}) %}
    {% endfor %}
    {% do return(columns) %}
{% endmacro %}
