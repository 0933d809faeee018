{#
The settings that all requests are built with. If the price lists or cost_preference change, a run gives stored requests their
cost again. A change of another setting requires a full refresh.
#}
{% macro current_settings() %}
    {% set prices = [] %}
    {% for id in price_seeds() if execute %} {% do prices.append(graph.nodes[id].checksum.checksum) %} {% endfor %}
    {% do return(
        {
            "reporting_time_zone": var("reporting_time_zone"),
            "cost_preference": var("cost_preference"),
            "model_prices": local_md5(prices | join(" ")),
            "approximate_percentiles": has_approximate_percentiles(),
            "models_version": 6,
        }
    ) %}
{% endmacro %}
