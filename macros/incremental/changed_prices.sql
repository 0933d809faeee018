{#
The settings of `recorded` that change what stored requests cost, and that have changed since then: model_prices, the price lists
in the folder seeds, and cost_preference. A run applies them to stored requests.
#}
{% macro changed_prices(recorded) %}
    {% set now, changed = current_settings(), [] %}
    {% for name in ["model_prices", "cost_preference"] if recorded and recorded[name] | string != now[name] | string %}
        {% do changed.append(name) %}
    {% endfor %}
    {% do return(changed) %}
{% endmacro %}
