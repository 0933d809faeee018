{#
The calendar hour, day, week (from Monday) or month of a UTC timestamp in a time zone: a timestamp for an hour, a date
for the others, both at the start of the period.
#}
{% macro local_period(period, utc, time_zone=none) %}
    {{- adapter.dispatch("local_period")(period, utc, time_zone or var("reporting_time_zone")) -}}
{% endmacro %}

{% macro default__local_period(period, utc, time_zone) %}
    {%- set local = "((" ~ utc ~ ") at time zone 'UTC' at time zone '" ~ time_zone ~ "')" -%}
    {%- if period == "hour" -%} date_trunc('hour', {{ local }})
    {%- elif period == "day" -%} cast({{ local }} as date)
    {%- else -%} cast(date_trunc('{{ period }}', {{ local }}) as date)
    {%- endif -%}
{% endmacro %}
