{% macro count_of_status(requests, status) -%}
    cast(sum(case when {{ requests }}.status = '{{ status }}' then 1 else 0 end) as {{ data_type("count") }})
{%- endmacro %}
