{#
DuckDB divides decimals as doubles, so whole millionths of a millionth are divided: as hugeint, which holds all that money
does, where the product of decimals would not. divide() is integer division.
#}
{% macro duckdb__average_money(total, count) -%}
    {%- set whole = "cast(trunc(abs(" ~ total ~ ")) as hugeint) * 1000000000000" -%}
    {%- set rest = "cast((abs(" ~ total ~ ") - trunc(abs(" ~ total ~ "))) * 1000000000000 as hugeint)" -%}
    {%- set units, parts = "(" ~ whole ~ " + " ~ rest ~ ")", "nullif(" ~ count ~ ", 0)" -%}
    cast(
        sign({{ total }}) * cast(
            divide({{ units }}, {{ parts }})
            + case when 2 * ({{ units }} % {{ parts }}) >= {{ count }} then 1 else 0 end as decimal(38, 0)
        )
        * 0.000000000001 as {{ data_type("money") }}
    )
{%- endmacro %}
