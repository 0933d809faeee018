{# Post-hook of a table with one row per key: deletes the rows of keys that have no requests left. #}
{% macro delete_emptied_keys() %}
    {%- if is_hook_run() and query_column("select 1 from " ~ this ~ " where coalesce(requests, 0) = 0 limit 1") -%}
        delete from {{ physical_table() }} where coalesce(requests, 0) = 0
    {%- endif -%}
{% endmacro %}
