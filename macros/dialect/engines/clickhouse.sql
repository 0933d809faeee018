{% macro clickhouse__utc_timestamp(instant, type) %} cast({{ instant }} as {{ data_type(type) }}){% endmacro %}

{% macro clickhouse__utc_now() %} now64(6, 'UTC'){% endmacro %}

{% macro clickhouse__local_period(period, utc, time_zone) %}
    {%- set local = "toTimeZone(" ~ utc ~ ", '" ~ time_zone ~ "')" -%}
    {%- if period == "hour" -%} addHours(toDateTime64(toString(toDate({{ local }})), 6, 'UTC'), toHour({{ local }}))
    {%- else -%} toDate({{ local }})
    {%- endif -%}
{% endmacro %}

{% macro clickhouse__subtract_days(day, days) %} addDays({{ day }}, - ({{ days }})){% endmacro %}

{% macro clickhouse__milliseconds_between(first, last) %}
    dateDiff('microsecond', {{ first }}, {{ last }})
{%- endmacro %}

{% macro clickhouse__text_literal(text) %} {{ return(escaped_text_literal(text)) }}{% endmacro %}

{% macro clickhouse__percentile(column, p) %} quantileExactInclusive({{ p }})({{ column }}){% endmacro %}

{# in ClickHouse a literal with a decimal point is a double, and a product of decimals has the larger operand's precision #}
{% macro clickhouse__token_cost(tokens, price) -%}
    {%- set money = data_type("money") -%}
    cast(({{ tokens }}) * cast({{ price }} as {{ money }}) * toDecimal32('0.000001', 6) as {{ money }})
{%- endmacro %}

{# ClickHouse truncates quotients, so the division uses more decimal places than the result #}
{% macro clickhouse__average_money(total, count) -%}
    cast(round(toDecimal256({{ total }}, 30) / nullIf({{ count }}, 0), 12) as {{ data_type("money") }})
{%- endmacro %}

{% macro clickhouse__table_layout(day, time, keys, lookups, replaced_by) %}
    {% set order = ([day] if day else []) + (lookups[:1] or keys) %}
    {% set layout = {
        "engine": var("table_engine"),
        "order_by": "(" ~ order | join(", ") ~ ")" if order else "tuple()",
    } %}
    {% if day %} {% do layout.update(partition_by="toYYYYMM(" ~ day ~ ")") %} {% endif %}
    {% if var("distributed") %}
        {% do layout.update(
            materialized="distributed_incremental" if day or lookups or replaced_by else "distributed_table",
            sharding_key="cityHash64(" ~ (lookups + keys + [day]) | first ~ ")",
        ) %}
    {% endif %}
    {% do return(layout) %}
{% endmacro %}

{# without this setting, each server joins only its own parts of both tables, and results are incomplete #}
{% macro clickhouse__prepare_session() %}
    {% if execute and var("distributed") %}
        {% set query = "select value from system.settings where name = 'prefer_global_in_and_join'" %}
        {% if query_column(query) != ["1"] %}
            {% do exceptions.raise_compiler_error(
                "The variable distributed needs prefer_global_in_and_join: 1 in the custom_settings of the profile."
            ) %}
        {% endif %}
    {% endif %}
{% endmacro %}

{# rows expire two days after runs delete them, as long as retention_days is set #}
{% macro clickhouse__apply_storage_policies(time) %}
    {% set rows = clickhouse__table_of_rows() %}
    {% set expiring %}
        select name from system.tables
        where database = '{{ rows.schema }}' and name = '{{ rows.identifier }}' and engine_full like '% TTL %'
    {% endset %}
    {% if var("retention_days") %}
        alter table {{ physical_table() }}
        modify ttl toDate({{ time }}) + interval {{ var("retention_days") + 2 }} day
        settings materialize_ttl_after_modify = 0
    {% elif query_column(expiring) %} alter table {{ physical_table() }} remove ttl
    {% endif %}
{% endmacro %}

{# a Distributed table stores no rows: each server stores a part of the rows in a local table #}
{% macro clickhouse__table_of_rows() %}
    {% if not var("distributed") %} {% do return(this) %} {% endif %}
    {% do return(
        this.incorporate(
            path={
                "schema": adapter.get_clickhouse_local_db_prefix() ~ this.schema,
                "identifier": this.identifier ~ adapter.get_clickhouse_local_suffix(),
            }
        )
    ) %}
{% endmacro %}

{% macro clickhouse__physical_table() -%}
    {%- set place = " on cluster " ~ adapter.get_clickhouse_cluster_name() if var("distributed") else "" -%}
    {{ clickhouse__table_of_rows() ~ place }}
{%- endmacro %}

{# the values are JSON; only those of texts have quotes #}
{% macro clickhouse__json_members(relation, json, columns) -%}
    select
    {{ columns | join(", ") }},
        tupleElement(member, 1) as tag_key,
        case
            when startsWith(tupleElement(member, 2), '"')
            then JSONExtractString(tupleElement(member, 2))
            else nullif(tupleElement(member, 2), 'null')
        end as tag_value
    from {{ relation }}
    array join JSONExtractKeysAndValuesRaw(coalesce({{ json }}, '{}')) as member
{%- endmacro %}
