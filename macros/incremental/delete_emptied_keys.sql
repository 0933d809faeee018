{# Post-hook of a table with a row per key: deletes the keys that have no requests any more. #}
{% macro delete_emptied_keys() %}
    {%- if is_hook_run() and query_column("select 1 from " ~ this ~ " where coalesce(requests, 0) = 0 limit 1") -%}
        delete from {{ physical_table() }} where coalesce(requests, 0) = 0
    {%- endif -%}
{% endmacro %}
