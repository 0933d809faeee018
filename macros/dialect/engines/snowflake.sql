{% macro snowflake__utc_timestamp(instant, type) -%}
    cast(convert_timezone('UTC', {{ instant }}) as {{ data_type(type) }})
{%- endmacro %}

{% macro snowflake__utc_now() %} sysdate(){% endmacro %}

{% macro snowflake__local_period(period, utc, time_zone) %}
    {%- set local = "convert_timezone('UTC', '" ~ time_zone ~ "', " ~ utc ~ ")" -%}
    {%- if period == "hour" -%} date_trunc('hour', {{ local }})
    {%- else -%} cast({{ local }} as date)
    {%- endif -%}
{% endmacro %}

{% macro snowflake__subtract_days(day, days) %} cast(dateadd(day, - ({{ days }}), {{ day }}) as date){% endmacro %}

{% macro snowflake__text_literal(text) %} {{ return(escaped_text_literal(text)) }}{% endmacro %}

{% macro snowflake__table_layout(day, time, keys, lookups, replaced_by) %}
    {% do return({"transient": true, "copy_grants": true, "cluster_by": [day] if day else none}) %}
{% endmacro %}

{% macro snowflake__json_members(relation, json, columns) -%}
    select {{ columns | join(", ") }}, member.key as tag_key, cast(member.value as varchar) as tag_value
    from {{ relation }}, lateral flatten(input => parse_json({{ json }})) as member
{%- endmacro %}

{% macro snowflake__load_csv_rows(model, agate_table) %}
    {% do return(insert_seed_rows(model, agate_table)) %}
{% endmacro %}
