{# Whether retention_days keeps days that `recorded` days, the value of an earlier run, have deleted. #}
{% macro is_retention_raised(recorded) %}
    {% set days = var("retention_days") %}
    {% do return(recorded is not none and (days is none or days > recorded | int)) %}
{% endmacro %}
