{# Post-hook: deletes the rows of dates before the first date that is kept. #}
{% macro delete_expired_dates() %}
    {%- if is_hook_run() and first_kept_date() -%}
        delete from {{ physical_table() }} where usage_date < date '{{ first_kept_date() }}'
    {%- endif -%}
{% endmacro %}
