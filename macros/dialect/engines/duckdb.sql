{# DuckDB divides decimals as doubles, so whole millionths of a millionth are divided; divide() is integer division #}
{% macro duckdb__average_money(total, count) -%}
    cast(
        sign({{ total }}) * cast(
            divide(
                2 * cast(abs({{ total }}) * 1000000000000 as hugeint) + {{ count }}, nullif(2 * {{ count }}, 0)
            ) as decimal(38, 0)
        )
        * 0.000000000001 as {{ data_type("money") }}
    )
{%- endmacro %}

{% macro duckdb__json_text(json, key) -%}
    {%- set path = "'/" ~ key | replace("~", "~0") | replace("/", "~1") | replace("'", "''") ~ "'" -%}
    case
        when json_type({{ json }}, {{ path }}) not in ('OBJECT', 'ARRAY')
        then json_extract_string({{ json }}, {{ path }})
    end
{%- endmacro %}
