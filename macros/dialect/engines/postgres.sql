{# PostgreSQL rounds a quotient to about 16 digits where its operands have few places, and sorts by its language #}
{% macro postgres__average_money(total, count) -%}
    cast(round(cast({{ total }} as numeric(76, 38)) / nullif({{ count }}, 0), 12) as {{ data_type("money") }})
{%- endmacro %}

{% macro postgres__byte_order(text) %}({{ text }}) collate "C"{% endmacro %}

{# of what windows rank it expects one row, whatever there are, and would join it row by row: for hours instead of seconds #}
{% macro postgres__prepare_write() %}
    select set_config('enable_nestloop', 'off', true) {{ postgres__timescale_prepare_write() }}
{% endmacro %}

{# the next run is planned by them: without, a day that was never counted is taken for one row, and joined row by row #}
{% macro postgres__refresh_statistics() %} analyze {{ this }}{% endmacro %}

{# requests lie in the order of their instants: those bound the delete too, a day wider for the time zone #}
{% macro postgres__write_bounds(days, time) %}
    {% do default__write_bounds(days, time) %}
    {% if time and days %}
        {% set wide = days_around([days | first, days | last], 1) %}
        {% do config.get("incremental_predicates").append(
            time ~ " >= date '" ~ wide | first ~ "' and " ~ time ~ " < date '" ~ wide | last ~ "' + 1"
        ) %}
    {% endif %}
{% endmacro %}

{% macro postgres__table_layout(day, time, keys, lookups) %}
    {% set indexes = [] %}
    {% for column in ([day] if day else []) + lookups %} {% do indexes.append({"columns": [column]}) %} {% endfor %}
    {% if time %} {% do indexes.append({"columns": [time], "type": "brin"}) %} {% endif %}
    {# the marts are small, and a text in them may be longer than an index holds #}
    {% if time and keys %} {% do indexes.append({"columns": [keys[0], time]}) %} {% endif %}
    {% do return({"indexes": indexes}) %}
{% endmacro %}
