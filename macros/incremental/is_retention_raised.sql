{# Whether retention_days now keeps dates that an earlier run deleted, because its value, `recorded`, was smaller. #}
{% macro is_retention_raised(recorded) %}
    {% set days = var("retention_days") %}
    {% do return(recorded is not none and (days is none or days > recorded | int)) %}
{% endmacro %}
