{# The days that a query finds, as sorted ISO dates. #}
{% macro days_of(query) %}
    {% set days = [] %}
    {% for value in first_column(query) %} {% do days.append((value | string)[:10]) %} {% endfor %}
    {% do return(days | unique | sort | list) %}
{% endmacro %}
