{#
The calendar hour or day of a UTC timestamp in a time zone: a timestamp at the start of the hour, or a date.
#}
{% macro local_period(period, utc, time_zone=none) %}
    {{- adapter.dispatch("local_period")(period, utc, time_zone or var("reporting_time_zone")) -}}
{% endmacro %}

{% macro default__local_period(period, utc, time_zone) %}
    {%- set local = "((" ~ utc ~ ") at time zone 'UTC' at time zone '" ~ time_zone ~ "')" -%}
    {%- if period == "hour" -%} date_trunc('hour', {{ local }})
    {%- else -%} cast({{ local }} as date)
    {%- endif -%}
{% endmacro %}
