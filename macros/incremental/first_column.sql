{# The values of a query's first column; none while dbt parses. Some adapters give an empty result no column. #}
{% macro first_column(query) %}
    {% set found = run_query(query) if execute else none %}
    {% do return(found.columns[0].values() | list if found and found.columns | length else []) %}
{% endmacro %}
