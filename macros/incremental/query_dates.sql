{# The dates in the first column of a query's result, as sorted ISO dates. #}
{% macro query_dates(query) %}
    {% set dates = [] %}
    {% for value in query_column(query) %} {% do dates.append((value | string)[:10]) %} {% endfor %}
    {% do return(dates | unique | sort | list) %}
{% endmacro %}
