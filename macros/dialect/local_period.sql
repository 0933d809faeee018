{#
The calendar hour, day, week (from Monday) or month that a timestamp in UTC falls in, by the clocks of a time zone: the
moment that an hour begins at, the date that the others begin on.
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
