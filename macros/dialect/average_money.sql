{# A sum of money divided by a count, to twelve places and rounded half away from zero; NULL for a count of 0. #}
{% macro average_money(total, count) %} {{ adapter.dispatch("average_money")(total, count) }}{% endmacro %}

{# DuckDB divides decimals as doubles, so whole millionths of a millionth are divided; divide() is integer division #}
{% macro duckdb__average_money(total, count) %}
    cast(
        sign({{ total }}) * cast(
            divide(
                2 * cast(abs({{ total }}) * 1000000000000 as hugeint) + {{ count }}, nullif(2 * {{ count }}, 0)
            ) as decimal(38, 0)
        )
        * 0.000000000001 as {{ data_type("money") }}
    )
{%- endmacro %}
