{# Converts a time of the raw tables to the UTC timestamp type of the models. #}
{% macro utc_timestamp(instant) %} {{ adapter.dispatch("utc_timestamp")(instant) }}{% endmacro %}

{% macro default__utc_timestamp(instant) %} (({{ instant }}) at time zone 'UTC'){% endmacro %}
