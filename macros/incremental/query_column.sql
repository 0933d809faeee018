{# The values of a query's first column; empty while dbt parses. Some adapters return no column for an empty result. #}
{% macro query_column(query) %}
    {% set found = run_query(query) if execute else none %}
    {% do return(found.columns[0].values() | list if found and found.columns | length else []) %}
{% endmacro %}
