{# The prices of a row of model_prices or price_overrides: in USD per million tokens, per request and per web search. #}
{% macro price_columns() %}
    {% do return(
        [
            "input_usd_per_million",
            "cache_read_usd_per_million",
            "cache_write_usd_per_million",
            "cache_write_1h_usd_per_million",
            "output_usd_per_million",
            "request_usd",
            "web_search_usd",
        ]
    ) %}
{% endmacro %}
