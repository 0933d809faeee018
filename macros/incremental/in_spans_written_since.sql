{# A predicate of literal spans of the days, present and former, of requests written since `batch`. #}
{% macro in_spans_written_since(batch) %}
    {%- set days, spans = [], [] -%}
    {%- if execute -%}
        {%- set written = run_query(
            "select distinct first_usage_date, last_usage_date from "
            ~ ref("tokenmart", "llm_requests")
            ~ " where batch_id > "
            ~ batch
        ) -%}
        {%- for row in written.rows -%}
            {%- set first, last = (row[0] | string)[:10], (row[1] | string)[:10] -%}
            {%- if first == last %} {% do days.append(first) %}
            {% else %} {% do spans.append((first, last)) %}
            {% endif -%}
        {%- endfor -%}
    {%- endif -%}
    (
        {{ in_days(days | unique | sort | list) }}
        {%- for first, last in spans | unique | sort %}
            or usage_date between date '{{ first }}' and date '{{ last }}'
        {% endfor %}
    )
{%- endmacro %}
