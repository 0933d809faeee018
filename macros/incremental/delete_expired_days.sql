{# Post-hook: deletes the days before the first that is kept. The marts follow, as they do when days are emptied. #}
{% macro delete_expired_days() %}
    {%- if is_written() and first_kept_day() -%}
        delete from {{ stored_rows() }} where usage_date < date '{{ first_kept_day() }}'
    {%- endif -%}
{% endmacro %}
