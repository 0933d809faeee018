{# A time from the raw tables as the timestamp in UTC that the models use. #}
{% macro utc_timestamp(instant) %} {{ adapter.dispatch("utc_timestamp")(instant) }}{% endmacro %}

{% macro default__utc_timestamp(instant) %} (({{ instant }}) at time zone 'UTC'){% endmacro %}
