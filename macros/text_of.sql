{# SQL that joins several text columns into one text. A missing value and an empty one give different results. #}
{% macro text_of(columns) %}
    {%- for column in columns -%} coalesce({{ column }} || '|', '-') {{ '|| ' if not loop.last }} {%- endfor -%}
{% endmacro %}
