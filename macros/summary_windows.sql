{# For each length in days, the window up to the last day of `history`, and the window of the same length before it. #}
{% macro summary_windows(history, lengths) %}
    {% for days in lengths %}
        {% set is_last = loop.last %}
        {% for period, offset in [("current", 0), ("previous", days)] %}
            select
                cast({{ days }} as {{ data_type("count") }}) as window_days,
                cast('{{ period }}' as {{ data_type("dimension") }}) as period,
                cast(
                    {{ subtract_days(history ~ ".last_day", offset + days - 1) }} as {{ data_type("date") }}
                ) as first_date,
                cast({{ subtract_days(history ~ ".last_day", offset) }} as {{ data_type("date") }}) as last_date
            from {{ history }}
            where {{ history }}.last_day is not null {{ 'union all' if not (is_last and loop.last) }}
        {% endfor %}
    {% endfor %}
{% endmacro %}
