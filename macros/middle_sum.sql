{#
The sum of the values that are in the middle of their order: of an odd number of values the one in the middle, of an even number the
two. `place` is the position of a value, from 1. Divided by their number, it is the median.
#}
{% macro middle_sum(value, place, count) -%}
    sum(case when 2 * {{ place }} between {{ count }} and {{ count }} + 2 then {{ value }} end)
{%- endmacro %}
