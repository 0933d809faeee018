{#
A condition that a data test puts on the date of a row; true for all rows in an audit. For tables that are not stored by date,
`time` names a UTC timestamp that is limited too, one day wider on each side because of the time zone.
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
