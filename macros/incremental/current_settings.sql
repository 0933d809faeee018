{# The settings that all requests are built with. A change of these settings requires a full refresh. #}
{% macro current_settings() %}
    {% set prices = [] %}
    {% for id in ["model_names", "model_prices", "passed_on_prices", "provider_aliases"] if execute %}
        {% do prices.append(graph.nodes["seed.tokenmart." ~ id].checksum.checksum) %}
    {% endfor %}
    {% do return(
        {
            "reporting_time_zone": var("reporting_time_zone"),
            "cost_preference": var("cost_preference"),
            "model_prices": local_md5(prices | join(" ")),
            "approximate_percentiles": has_approximate_percentiles(),
            "models_version": 4,
        }
    ) %}
{% endmacro %}
