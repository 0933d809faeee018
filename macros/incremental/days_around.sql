{# ISO days, with their neighbors up to `distance` days away. #}
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
