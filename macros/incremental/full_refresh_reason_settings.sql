{#
The reason for a full refresh if settings have changed since they were recorded, so that new rows would not match those of earlier
runs; otherwise None. Changed prices need no full refresh.
#}
{% macro full_refresh_reason_settings(recorded) %}
    {% set changes = [] %}
    {% set repriced = changed_prices(recorded) %}
    {% for name, now in current_settings().items() if recorded and recorded[name] | string != now | string %}
        {% if name not in repriced %}
            {% do changes.append(name ~ " has changed from " ~ recorded[name] ~ " to " ~ now) %}
        {% endif %}
    {% endfor %}
    {% do return("Since the requests were built, " ~ changes | join(", and ") ~ "." if changes else none) %}
{% endmacro %}
