{# A predicate of literal days, so that a warehouse reads only their partitions; false for no days. #}
{% macro in_days(days, column="usage_date") %}
    {%- if days -%} {{ column }} in ({% for day in days %}date '{{ day }}'{{ ', ' if not loop.last }}{% endfor %})
    {%- else -%} 1 = 0
    {%- endif -%}
{% endmacro %}
