{# The service tier that a log names, in lower case, as one name for all names of the standard tier. #}
{% macro service_tier_key(service_tier) -%}
    case
        when
            lower(coalesce({{ service_tier }}, '')) in ('', 'default', 'auto', 'standard', 'on_demand', 'standard_only')
        then 'standard'
        else lower({{ service_tier }})
    end
{%- endmacro %}
