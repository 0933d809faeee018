{# Post-hook of a mart: a day that still differs after the rebuild has no requests any more. #}
{% macro delete_emptied_days() %}
    {%- if is_written() -%}
        {%- set days = changed_days() -%}
        {%- if days -%} delete from {{ stored_rows() }} where {{ in_days(days) }} {%- endif -%}
    {%- endif -%}
{% endmacro %}
