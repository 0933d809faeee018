{# The same time of day (UTC) as `time`, on another date. #}
{% macro move_to_date(time, day) -%}
    {%- set date = data_type("date") -%}
    {%- set old_day, new_day = (
        "cast(" ~ time ~ " as " ~ date ~ ")",
        "cast(" ~ text_literal(day) ~ " as " ~ date ~ ")",
    ) -%}
    cast({{ dbt.dateadd("day", dbt.datediff(old_day, new_day, "day"), time) }} as {{ data_type("timestamp") }})
{%- endmacro %}
