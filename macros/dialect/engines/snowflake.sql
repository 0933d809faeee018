{% macro snowflake__utc_timestamp(instant) -%}
    cast(convert_timezone('UTC', {{ instant }}) as {{ data_type("timestamp") }})
{%- endmacro %}

{% macro snowflake__utc_now() %} sysdate(){% endmacro %}

{% macro snowflake__local_period(period, utc, time_zone) %}
    {%- set local = "convert_timezone('UTC', '" ~ time_zone ~ "', " ~ utc ~ ")" -%}
    {%- if period == "hour" -%} date_trunc('hour', {{ local }})
    {%- elif period == "day" -%} cast({{ local }} as date)
    {%- elif period == "week" -%}
        {# date_trunc('week') follows a parameter of the session #}
        cast(dateadd(day, 1 - dayofweekiso({{ local }}), cast({{ local }} as date)) as date)
    {%- else -%} cast(date_trunc('{{ period }}', {{ local }}) as date)
    {%- endif -%}
{% endmacro %}

{% macro snowflake__days_before(day, days) %} cast(dateadd(day, - ({{ days }}), {{ day }}) as date){% endmacro %}

{% macro snowflake__json_text(json, key) -%}
    {%- set field = "try_parse_json(" ~ json ~ ")['" ~ key | replace("\\", "\\\\") | replace("'", "''") ~ "']" -%}
    iff(typeof({{ field }}) in ('OBJECT', 'ARRAY', 'NULL_VALUE'), null, {{ field }}::varchar)
{%- endmacro %}

{% macro snowflake__table_layout(day, time, keys, lookups) %}
    {% do return({"transient": true, "copy_grants": true, "cluster_by": [day] if day else none}) %}
{% endmacro %}
