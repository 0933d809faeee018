{# The ids of the seeds with prices, and with the names of models and providers. #}
{% macro price_seeds() %}
    {% set names = ["model_names", "model_prefixes", "model_prices", "passed_on_prices", "provider_aliases"] %}
    {% set seeds = [] %}
    {% for name in names %} {% do seeds.append("seed.tokenmart." ~ name) %} {% endfor %}
    {% do return(seeds + [user_seed_id("price_overrides")]) %}
{% endmacro %}
