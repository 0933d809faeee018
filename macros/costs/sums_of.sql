{% macro sums_of(relation, columns, type) %}
    {%- for column in columns %}
        cast(sum({{ relation }}.{{ column }}) as {{ data_type(type) }}) as {{ column }}{{ ',' if not loop.last }}
    {%- endfor %}
{%- endmacro %}
