{# The settings that all requests are built with. A change of these settings requires a full refresh. #}
{% macro current_settings() %}
    {% do return(
        {
            "reporting_time_zone": var("reporting_time_zone"),
            "cost_preference": var("cost_preference"),
            "model_prices": graph.nodes["seed.tokenmart.model_prices"].checksum.checksum if execute else "",
            "approximate_percentiles": has_approximate_percentiles(),
            "models_version": 3,
        }
    ) %}
{% endmacro %}
