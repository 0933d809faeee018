{# A predicate of literal dates, so that a warehouse reads only their partitions; false for no dates. #}
{% macro in_dates(dates, column="usage_date") %}
    {%- if dates -%} {{ column }} in ({% for date in dates %}date '{{ date }}'{{ ', ' if not loop.last }}{% endfor %})
    {%- else -%} 1 = 0
    {%- endif -%}
{% endmacro %}
