{# The first day of the month or week (from Monday to Sunday) that a date is in. Dates before 1970-01-05 have no week. #}
{% macro period_start(period, day) -%}
    {%- if period == "month" -%} {{ subtract_days(day, "extract(day from " ~ day ~ ") - 1") }}
    {%- else -%} {{ subtract_days(day, "mod(" ~ dbt.datediff("date '1970-01-05'", day, "day") ~ ", 7)") }}
    {%- endif -%}
{%- endmacro %}
