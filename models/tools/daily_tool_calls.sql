with
    tool_calls as (select * from {{ ref("tokenmart", "tool_calls") }}),

    calls as (select tool_calls.*, {{ fill_unattributed(["tool_name", "app_name"], "tool_calls") }} from tool_calls)

select
    calls.usage_date,
    calls.attributed_tool_name as tool_name,
    calls.attributed_app_name as app_name,
    cast(count(*) as {{ data_type("count") }}) as calls,
    {{ count_of_status("calls", "error") }} as failed_calls,
    cast(sum(case when calls.status is null then 1 else 0 end) as {{ data_type("count") }}) as calls_without_status,
    cast(count(distinct calls.session_id) as {{ data_type("count") }}) as sessions,
    {{ duration_measures("calls", "duration_ms", counted="timed_calls") }}
from calls
group by calls.usage_date, calls.attributed_tool_name, calls.attributed_app_name
