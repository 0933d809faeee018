{% macro bigquery__utc_timestamp(instant, type) %} {{ instant }}{% endmacro %}

{% macro bigquery__utc_now() %} current_timestamp(){% endmacro %}

{% macro bigquery__local_period(period, utc, time_zone) %}
    {%- if period == "hour" -%} datetime_trunc(datetime({{ utc }}, '{{ time_zone }}'), hour)
    {%- else -%} date({{ utc }}, '{{ time_zone }}')
    {%- endif -%}
{% endmacro %}

{% macro bigquery__subtract_days(day, days) %} date_sub({{ day }}, interval ({{ days }}) day){% endmacro %}

{% macro bigquery__milliseconds_between(first, last) %}
    timestamp_diff({{ last }}, {{ first }}, microsecond)
{%- endmacro %}

{% macro bigquery__text_literal(text) %} {{ return(escaped_text_literal(text)) }}{% endmacro %}

{# PERCENTILE_CONT is not an aggregate in BigQuery, so the two neighbors are taken from the sorted values #}
{% macro bigquery__percentile(column, p) -%}
    {%- if var("approximate_percentiles") -%}
        {%- do return("approx_quantiles(" ~ column ~ ", 1000)[safe_offset(" ~ (p * 1000) | int ~ ")]") -%}
    {%- endif -%}
    {%- set sorted = "array_agg(" ~ column ~ " ignore nulls order by " ~ column ~ ")" -%}
    {%- set place = p ~ " * (count(" ~ column ~ ") - 1)" -%}
    {%- set below = sorted ~ "[safe_offset(cast(floor(" ~ place ~ ") as int64))]" -%}
    {%- set above = sorted ~ "[safe_offset(cast(ceil(" ~ place ~ ") as int64))]" -%}
    ({{ below }} + ({{ above }} - {{ below }}) * ({{ place }} - floor({{ place }})))
{%- endmacro %}

{% macro bigquery__has_approximate_percentiles() %} {% do return(var("approximate_percentiles")) %} {% endmacro %}

{% macro bigquery__token_cost(tokens, price) -%}
    cast(({{ tokens }}) * ({{ price }}) * bignumeric '0.000001' as {{ data_type("money") }})
{%- endmacro %}

{% macro bigquery__table_layout(day, time, keys, lookups, replaced_by) %}
    {% set layout = {"incremental_strategy": "merge"} %}
    {% if day %} {% do layout.update(partition_by={"field": day, "data_type": "date"}) %} {% endif %}
    {% if day and not lookups %}
        {% do layout.update(incremental_strategy="insert_overwrite", partitions=[]) %}
    {% endif %}
    {% if keys or lookups %} {% do layout.update(cluster_by=(keys + lookups)[:4]) %} {% endif %}
    {% do return(layout) %}
{% endmacro %}

{# partitions expire two days after runs delete their rows, as long as retention_days is set #}
{% macro bigquery__apply_storage_policies(time) %}
    alter table {{ this }}
    set options (partition_expiration_days = {{ var("retention_days") + 2 if var("retention_days") else "null" }})
{% endmacro %}

{# marts overwrite whole partitions; requests are merged into the partitions of these dates #}
{% macro bigquery__limit_write_to(dates, time) %}
    {% set predicates, partitions = config.get("incremental_predicates"), config.get("partitions") %}
    {% if predicates is not none %}
        {% do predicates.clear() %} {% do predicates.append(in_dates(dates, "DBT_INTERNAL_DEST.usage_date")) %}
    {% endif %}
    {% if partitions is not none %}
        {% do partitions.clear() %}
        {# an empty list would mean all partitions of the new rows #}
        {% for date in dates or ["1970-01-01"] %} {% do partitions.append("date '" ~ date ~ "'") %} {% endfor %}
    {% endif %}
{% endmacro %}

{# the merge of a repair makes doubled rows equal; one statement then replaces the rows of the affected dates by distinct ones #}
{% macro bigquery__delete_doubled_requests() %}
    {% set batch = current_batch_id() %}
    {% if current_load_ids(batch, "repairing") %}
        {% set affected_dates = query_dates(
            "select usage_date from " ~ ref("tokenmart", "affected_dates") ~ " where batch_id = " ~ batch
        ) %}
        {% set is_affected = in_dates(affected_dates) %}
        {% set columns = get_quoted_csv(adapter.get_columns_in_relation(this) | map(attribute="name")) %}
        merge into {{ this }}
        using (select distinct * from {{ this }} where {{ is_affected }}) as requests
        on false
        when not matched by source and {{ is_affected }} then delete
        when not matched then insert({{ columns }}) values({{ columns }})
    {% endif %}
{% endmacro %}

{# a JSON path cannot be the value of a column, so each member is found as text, and its key and its value are parsed as arrays #}
{% macro bigquery__json_members(relation, json, columns) -%}
    {%- set key = '"(?:[^"\\\\]|\\\\.)*"' -%}
    {%- set pattern = key ~ ":(?:" ~ key ~ "|[^,}]+)" -%}
    select
    {{ columns | join(", ") }},
        json_value(concat('[', regexp_extract(member, r'^({{ key }}):'), ']'), '$[0]') as tag_key,
        json_value(concat('[', regexp_extract(member, r'^{{ key }}:(.*)$'), ']'), '$[0]') as tag_value
    from {{ relation }}
    cross join unnest(regexp_extract_all({{ json }}, r'{{ pattern }}')) as member
{%- endmacro %}
