{# The values of a query's first column; none while dbt parses. Some adapters give an empty result no column. #}
{% macro first_column(query) %}
    {% set found = run_query(query) if execute else none %}
    {% do return(found.columns[0].values() | list if found and found.columns | length else []) %}
{% endmacro %}

{# The days that a query finds, as sorted ISO dates. #}
{% macro days_of(query) %}
    {% set days = [] %}
    {% for value in first_column(query) %} {% do days.append((value | string)[:10]) %} {% endfor %}
    {% do return(days | unique | sort | list) %}
{% endmacro %}

{# A predicate of literal days, so that a warehouse reads just their partitions; false for no days. #}
{% macro in_days(days, column="usage_date") %}
    {%- if days -%} {{ column }} in ({% for day in days %}date '{{ day }}'{{ ', ' if not loop.last }}{% endfor %})
    {%- else -%} 1 = 0
    {%- endif -%}
{% endmacro %}

{# ISO days, with their neighbours up to `distance` days away. #}
{% macro days_around(days, distance) %}
    {% set around = [] %}
    {% for day in days %}
        {% for offset in range(-distance, distance + 1) %}
            {% do around.append(
                (
                    modules.datetime.date.fromisoformat(day) + modules.datetime.timedelta(days=offset)
                ).isoformat()
            ) %}
        {% endfor %}
    {% endfor %}
    {% do return(around | unique | sort | list) %}
{% endmacro %}
