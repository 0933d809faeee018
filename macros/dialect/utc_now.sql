{# The current time as a timestamp in UTC. #}
{% macro utc_now() %} {{ adapter.dispatch("utc_now")() }}{% endmacro %}

{% macro default__utc_now() %} (now() at time zone 'UTC'){% endmacro %}
