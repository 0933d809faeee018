{# SQL for one text out of several text columns, in which a missing value differs from an empty one. #}
{% macro text_of(columns) %}
    {%- for column in columns -%} coalesce({{ column }} || '|', '-') {{ '|| ' if not loop.last }} {%- endfor -%}
{% endmacro %}
