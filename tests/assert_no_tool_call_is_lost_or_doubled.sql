-- Every tool call that a processed load reports has exactly one row in tool_calls.
with

    dated as (
        select tool_call_id, {{ utc_timestamp("coalesce(started_at, finished_at)", "optional_timestamp") }} as called_at
        from {{ source("tokenmart", "tool_calls") }}
        where _dlt_load_id in (select load_id from {{ without_dependency("loads") }} where {{ is_processed() }})
    ),

    reported as (
        select cast(tool_call_id as {{ data_type("key") }}) as tool_call_id, max(dated.called_at) as last_called_at
        from dated
        where
            {{ is_tested(date=local_period("day", "called_at"), time="called_at") }}
            {% if first_kept_date() %}
                and {{ local_period("day", "called_at") }} >= date '{{ first_kept_date() }}'
            {% endif %}
        group by tool_call_id
    ),

    calls as (
        select tool_call_id, count(*) as times
        from {{ ref("tokenmart", "tool_calls") }}
        where tool_call_id in (select tool_call_id from reported)
        group by tool_call_id
    )

select reported.tool_call_id, calls.times
from reported
left join calls on reported.tool_call_id = calls.tool_call_id
where reported.last_called_at is not null and coalesce(calls.times, 0) <> 1
