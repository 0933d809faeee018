{# A condition with literal dates, so that a warehouse reads only their partitions. It is false if there are no dates. #}
{% macro in_dates(dates, column="usage_date") %}
    {%- if dates -%} {{ column }} in ({% for date in dates %}date '{{ date }}'{{ ', ' if not loop.last }}{% endfor %})
    {%- else -%} 1 = 0
    {%- endif -%}
{% endmacro %}
