{# Dimensions of a relation as attributed_<name>, in which what is not known stays visible as 'unattributed'. #}
{% macro attributed(dimensions, relation) %}
    {%- for dimension in dimensions -%}
        coalesce(
            {{ relation }}.{{ dimension }}, 'unattributed'
        ) as attributed_{{ dimension }}{{ ', ' if not loop.last }}
    {%- endfor -%}
{% endmacro %}
