{#
A query for the daily costs of each of the dimensions and its values; the value of the total is empty. A value can have several rows
a day. The marts are CTEs with their names.
#}
{% macro costs_by_dimension(dimensions) %}
    {%- for dimension in dimensions %}
        {%- set mart, column = cost_dimensions()[dimension] %}
        select
            {{ mart }}.usage_date,
            cast('{{ dimension }}' as {{ data_type("key") }}) as dimension,
            cast({{ mart ~ "." ~ column if column else "''" }} as {{ data_type("key") }}) as value,
            {{ mart }}.requests,
            {{ mart }}.unpriced_requests,
            {{ mart }}.cost_usd
        from {{ mart }} {{ "union all" if not loop.last }}
    {%- endfor %}
{%- endmacro %}
