{#
The days whose requests differ from what {{ this }} was built from: changed, new, emptied or lost.
A mart keeps no watermark: it compares itself, day by day, with request_days, and there with the column that counts what
it holds (meta: requests_column in its properties; all requests by default).
#}
{% macro changed_days() %}
    {# under `dbt --empty` every ref is empty, and no day has really changed #}
    {% if invocation_args_dict.get("empty") %} {% do return([]) %} {% endif %}
    {% set requests = model.config.meta.get("requests_column", "requests") %}
    {% set query %}
        select usage_date
        from (
            select usage_date, {{ requests }} as requests, batch_id from {{ ref('request_days') }} where {{ requests }} > 0
            union all
            select usage_date, cast(sum(requests) as {{ data_type('bigint') }}) as requests, max(batch_id) as batch_id
            from {{ this }}
            group by usage_date
        ) as days
        group by usage_date
        having count(*) < 2 or min(requests) <> max(requests) or min(batch_id) <> max(batch_id)
    {% endset %}
    {% do return(days_of(query)) %}
{% endmacro %}

{# The filter of a mart on llm_requests: everything, or in an incremental run the days that have changed. #}
{% macro where_days_changed() %}
    {% if is_incremental() %} where {{ in_days(changed_days()) }} {% endif %}
{% endmacro %}

{# Post-hook of a mart: a day that still differs after the rebuild has no requests any more. #}
{% macro delete_emptied_days() %}
    {%- if execute -%}
        {%- set days = changed_days() -%} {%- if days -%} delete from {{ this }} where {{ in_days(days) }} {%- endif -%}
    {%- endif -%}
{% endmacro %}

{# Literal spans of the days that requests written since `batch` are dated in, or were before. #}
{% macro in_spans_written_since(batch) %}
    {%- set days, spans = [], [] -%}
    {%- if execute -%}
        {%- set written = run_query(
            "select distinct first_usage_date, last_usage_date from "
            ~ ref("llm_requests")
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
