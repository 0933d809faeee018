{#
SQL conditions for the requests from one date to another (yyyy-mm-dd, both inclusive) that have one of the given values in each of
the columns of `where`. Unknown values are found as 'unattributed'.
#}
{% macro request_conditions(since, until, where) %}
    {% set date = data_type("date") %}
    {% set columns = request_columns().texts + ["canonical_model", "model_family"] %}
    {% set conditions = [] %}
    {% for day, comparison in [(since, ">="), (until, "<=")] if day %}
        {% do conditions.append("usage_date " ~ comparison ~ " cast(" ~ text_literal(day) ~ " as " ~ date ~ ")") %}
    {% endfor %}
    {% for column, values in where.items() %}
        {% if column not in columns %}
            {% do exceptions.raise_compiler_error("Requests cannot be chosen by the column " ~ column ~ ".") %}
        {% endif %}
        {% set literals = [] %}
        {% for value in values %} {% do literals.append(text_literal(value)) %} {% endfor %}
        {% do conditions.append("coalesce(" ~ column ~ ", 'unattributed') in (" ~ literals | join(", ") ~ ")") %}
    {% endfor %}
    {% do return(conditions | join(" and ")) %}
{% endmacro %}
