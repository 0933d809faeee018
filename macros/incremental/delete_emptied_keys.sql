{#
Post-hook of a table with one row per key: deletes the rows of keys that have no requests left in `input`, the name of the daily
mart that the table is built from. It groups instead of using `not in`, which some warehouses run as a nested loop.
#}
{% macro delete_emptied_keys(input) %}
    {%- if is_hook_run() and not invocation_args_dict.get("empty") -%}
        {%- set key = model.config.unique_key -%}
        {%- set emptied -%}
            select {{ key }}
            from
                (
                    select {{ key }}, 0 as daily_rows
                    from {{ this }}
                    union all
                    select {{ key }}, 1 as daily_rows
                    from {{ ref("tokenmart", input) }}
                ) as compared
            group by {{ key }}
            having sum(daily_rows) = 0
        {%- endset -%}
        {%- if query_column(emptied ~ " limit 1") -%}
            delete from {{ physical_table() }} where {{ key }} in ({{ emptied }})
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
