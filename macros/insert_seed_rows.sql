{#
Inserts the rows of a seed. dbt's own macro does the same, but calls another macro for each value, which takes ten times as long. dbt
finds this one only if Tokenmart is not a package.
#}
{% macro insert_seed_rows(model, agate_table) %}
    {% set columns = get_seed_column_quoted_csv(model, agate_table.column_names) %}
    {% set placeholders = "(" ~ (["%s"] * agate_table.column_names | length) | join(", ") ~ ")" %}
    {% set statements = [] %}
    {% for rows in agate_table.rows | batch(get_batch_size()) %}
        {% set values = [] %}
        {% for row in rows %} {% do values.extend(row) %} {% endfor %}
        {% set all_placeholders = ([placeholders] * rows | length) | join(", ") %}
        {% do statements.append("insert into " ~ this ~ " (" ~ columns ~ ") values " ~ all_placeholders) %}
        {% do adapter.add_query(statements[-1], bindings=values, abridge_sql_log=true) %}
    {% endfor %}
    {# dbt writes this to its artifacts #}
    {% do return(statements | first) %}
{% endmacro %}
