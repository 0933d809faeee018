{#
The reason for a full refresh if settings have changed since they were recorded, so that new rows would not match those of earlier
runs; otherwise None.
#}
{% macro full_refresh_reason_settings(recorded) %}
    {% set changes = [] %}
    {% for name, now in current_settings().items() if recorded and recorded[name] | string != now | string %}
        {% do changes.append(
            "the prices in the folder seeds have changed"
            if name == "model_prices"
            else name ~ " has changed from " ~ recorded[name] ~ " to " ~ now
        ) %}
    {% endfor %}
    {% do return("Since the requests were built, " ~ changes | join(", and ") ~ "." if changes else none) %}
{% endmacro %}
