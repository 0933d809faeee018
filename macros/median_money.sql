{#
The median of amounts in USD as a window function, to twelve decimal places. `place` is the position of an amount in their order, from
1 to `count`. Rows that do not meet the condition are no amounts of the median.
#}
{% macro median_money(amount, place, count, condition, partition) -%}
    {%- set is_middle = "2 * " ~ place ~ " between " ~ count ~ " and " ~ count ~ " + 2" -%}
    {%- set middle_sum = (
        "cast(sum(case when "
        ~ condition
        ~ " and "
        ~ is_middle
        ~ " then "
        ~ amount
        ~ " end) over (partition by "
        ~ partition
        ~ ") as "
        ~ data_type("money")
        ~ ")"
    ) -%}
    {{ average_money(middle_sum, "(case when mod(" ~ count ~ ", 2) = 0 then 2 else 1 end)") }}
{%- endmacro %}
