{# A timestamp in UTC as the wall clock of the reporting time zone shows it. #}
{% macro local_timestamp(utc) %} {{ adapter.dispatch("local_timestamp")(utc) }}{% endmacro %}

{% macro default__local_timestamp(utc) %}
    ({{ utc }} at time zone 'UTC' at time zone '{{ var("reporting_time_zone") }}')
{%- endmacro %}
