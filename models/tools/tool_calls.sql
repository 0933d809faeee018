{{ table_layout(day="usage_date", time="called_at", keys=["tool_name"], lookups=["tool_call_id", "batch_id"]) }}

-- depends_on: {{ ref('tokenmart', 'affected_dates') }}
{% set columns = {
    "tool_name": "label",
    "status": "label",
    "user_id": "text",
    "session_id": "text",
    "project": "label",
    "app_name": "label",
    "trace_id": "text",
    "source_format": "label",
} %}
{% set sizes = ["arguments_bytes", "result_bytes"] %}
with

    new_loads as (
        select load_id, batch_id
        from {{ ref("tokenmart", "loads") }}
        {% if is_incremental() %} where batch_id > (select coalesce(max(batch_id), 0) from {{ this }}) {% endif %}
    ),

    raw_reports as (
        select * from {{ source("tokenmart", "tool_calls") }} where _dlt_load_id in (select load_id from new_loads)
    ),

    landed as (
        select
            raw_reports.tool_call_id,
            {% for name in columns %} raw_reports.{{ name }}, {% endfor %}
            {% for name in sizes %} raw_reports.{{ name }}, {% endfor %}
            {{ utc_timestamp("raw_reports.started_at", "optional_timestamp") }} as started_at,
            {{ utc_timestamp("raw_reports.finished_at", "optional_timestamp") }} as finished_at,
            raw_reports.duration_ms
        from raw_reports
    ),

    reports as (
        select *
        from landed
        {% if is_incremental() %}
            union all
            -- the stored calls that the new reports are about
            select
                tool_call_id,
                {% for name in columns %} {{ name }}, {% endfor %}
                {% for name in sizes %} {{ name }}, {% endfor %}
                started_at,
                finished_at,
                -- otherwise it is computed again
                case when started_at is null or finished_at is null then duration_ms end as duration_ms
            from {{ this }}
            where tool_call_id in (select tool_call_id from landed)
        {% endif %}
    ),

    calls as (
        select
            reports.tool_call_id,
            -- of different values, which only copies of a call can have, the first in the order of the alphabet
            {% for name in columns %} min({{ binary_collation("reports." ~ name) }}) as {{ name }}, {% endfor %}
            {% for name in sizes %} max(reports.{{ name }}) as {{ name }}, {% endfor %}
            min(reports.started_at) as started_at,
            max(reports.finished_at) as finished_at,
            max(reports.duration_ms) as duration_ms
        from reports
        group by reports.tool_call_id
    ),

    dated as (
        select calls.*, cast(coalesce(calls.started_at, calls.finished_at) as {{ data_type("timestamp") }}) as called_at
        from calls
        where coalesce(calls.started_at, calls.finished_at) is not null
    )

select
    cast(dated.tool_call_id as {{ data_type("key") }}) as tool_call_id,
    dated.called_at,
    {{ local_period("day", "dated.called_at") }} as usage_date,
    cast(dated.started_at as {{ data_type("optional_timestamp") }}) as started_at,
    cast(dated.finished_at as {{ data_type("optional_timestamp") }}) as finished_at,
    cast(
        coalesce(
            dated.duration_ms,
            case
                when dated.finished_at >= dated.started_at
                then {{ milliseconds_between("dated.started_at", "dated.finished_at") }}
            end
        ) as {{ data_type("double") }}
    ) as duration_ms,
    {% for name in sizes %} cast(dated.{{ name }} as {{ data_type("bigint") }}) as {{ name }}, {% endfor %}
    {% for name, type in columns.items() %} cast(dated.{{ name }} as {{ data_type(type) }}) as {{ name }}, {% endfor %}
    cast((select max(new_loads.batch_id) from new_loads) as {{ data_type("count") }}) as batch_id
from dated
{% if first_kept_date() %}
    where {{ local_period("day", "dated.called_at") }} >= date '{{ first_kept_date() }}'
{% endif %}
