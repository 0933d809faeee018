{#
The condition of a data test on rows with this date; true for all rows in an audit. With `time`, their UTC timestamp, it also
limits the time, a day wider for the time zone, for tables that are not stored by date.
#}
{% macro is_tested(date="usage_date", time=none) %}
    {%- set dates = tested_dates() -%}
    {%- if dates is none -%} 1 = 1
    {%- else -%}
        {{ in_dates(dates, date) }}
        {%- if time and dates -%}
            {%- set first, end = dates_around([dates | first], 1) | first, dates_around([dates | last], 2) | last %}
            and {{ time }} >= timestamp '{{ first }} 00:00:00'
            and {{ time }} < timestamp '{{ end }} 00:00:00'
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
