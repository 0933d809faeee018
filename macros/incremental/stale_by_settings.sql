{# The reason why new rows would not match those of llm_requests: settings have changed. None if they have not. #}
{% macro stale_by_settings(recorded) %}
    {% set changes = [] %}
    {% for name, now in current_settings().items() if recorded[name] | string != now | string %}
        {% do changes.append(
            "the prices in seeds/model_prices.csv have changed"
            if name == "model_prices"
            else name ~ " has changed from " ~ recorded[name] ~ " to " ~ now
        ) %}
    {% endfor %}
    {% do return("Since the requests were built, " ~ changes | join(", and ") ~ "." if changes else none) %}
{% endmacro %}
