{# Converts a time of the raw tables to the UTC timestamp type of the models; `type` is optional_timestamp if it can be NULL. #}
{% macro utc_timestamp(instant, type="timestamp") %}
    {{- adapter.dispatch("utc_timestamp")(instant, type) -}}
{% endmacro %}

{% macro default__utc_timestamp(instant, type) %} (({{ instant }}) at time zone 'UTC'){% endmacro %}
