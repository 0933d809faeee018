{# Columns of a relation as attributed_<name>, with 'unattributed' for unknown values. #}
{% macro fill_unattributed(dimensions, relation, type="dimension") %}
    {%- for dimension in dimensions -%}
        cast(
            coalesce({{ relation }}.{{ dimension }}, 'unattributed') as {{ data_type(type) }}
        ) as attributed_{{ dimension }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{% endmacro %}
