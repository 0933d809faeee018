{# ISO dates, and the dates up to `distance` days before and after each of them. #}
{% macro dates_around(dates, distance) %}
    {% set around = [] %}
    {% for date in dates %}
        {% for offset in range(-distance, distance + 1) %}
            {% do around.append(
                (
                    modules.datetime.date.fromisoformat(date) + modules.datetime.timedelta(days=offset)
                ).isoformat()
            ) %}
        {% endfor %}
    {% endfor %}
    {% do return(around | unique | sort | list) %}
{% endmacro %}
