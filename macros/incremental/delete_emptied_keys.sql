{#
Post-hook of a table with one row per key: deletes the rows of keys that have no requests left in `input`, the name of the daily
mart that the table is built from.
#}
{% macro delete_emptied_keys(input) %}
    {%- if is_hook_run() and not invocation_args_dict.get("empty") -%}
        {%- set key = model.config.unique_key -%}
        {%- set is_emptied -%} {{ key }} not in (select {{ key }} from {{ ref("tokenmart", input) }}) {%- endset -%}
        {%- if query_column("select 1 from " ~ this ~ " where " ~ is_emptied ~ " limit 1") -%}
            delete from {{ physical_table() }} where {{ is_emptied }}
        {%- endif -%}
    {%- endif -%}
{% endmacro %}
