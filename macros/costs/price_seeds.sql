{# The ids of the seeds with prices, and with the names of models and providers. #}
{% macro price_seeds() %}
    {% do return(
        [
            "seed.tokenmart.model_names",
            "seed.tokenmart.model_prefixes",
            "seed.tokenmart.model_prices",
            "seed.tokenmart.passed_on_prices",
            "seed.tokenmart.provider_aliases",
        ]
    ) %}
{% endmacro %}
