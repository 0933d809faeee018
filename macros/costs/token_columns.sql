{% macro token_columns() %}
    {% do return(["input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"]) %}
{% endmacro %}
