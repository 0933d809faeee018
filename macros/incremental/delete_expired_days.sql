{# Post-hook: deletes the days before the first day that is kept. The marts then delete them as emptied days. #}
{% macro delete_expired_days() %}
    {%- if is_written() and first_kept_day() -%}
        delete from {{ stored_rows() }} where usage_date < date '{{ first_kept_day() }}'
    {%- endif -%}
{% endmacro %}
