{#
The mean of a column of milliseconds, to six decimal places; NULL if there are no values. It adds up whole microseconds,
because a sum of doubles depends on the order of the values.
#}
{% macro average(milliseconds) -%}
    {%- set microseconds = "cast(floor((" ~ milliseconds ~ ") * 1000 + 0.5) as " ~ data_type("bigint") ~ ")" -%}
    {%- set total = "cast(sum(" ~ microseconds ~ ") as " ~ data_type("money") ~ ") * 1000" -%}
    {%- set nanoseconds = "round(" ~ average_money(total, "count(" ~ milliseconds ~ ")") ~ ", 0)" -%}
    cast(cast({{ nanoseconds }} as {{ data_type("bigint") }}) as {{ data_type("double") }}) / 1000000
{%- endmacro %}
