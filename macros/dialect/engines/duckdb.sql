{#
DuckDB divides decimals as doubles. This macro therefore divides whole numbers of 10^-12 USD, as hugeint, which can hold every
amount; a product of decimals would overflow. divide() is integer division.
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

{% macro duckdb__json_members(relation, json, columns) -%}
    select
        {{ columns | join(", ") }},
        unnest(json_keys({{ json }})) as tag_key,
        unnest(json_extract({{ json }}, '$.*')) ->> '$' as tag_value
    from {{ relation }}
{%- endmacro %}
