with
    tool_calls as (select * from {{ ref("tokenmart", "tool_calls") }}),

    attributed as (
        select tool_calls.*, {{ fill_unattributed(["tool_name", "app_name"], "tool_calls") }} from tool_calls
    )

select
    attributed.usage_date,
    attributed.attributed_tool_name as tool_name,
    attributed.attributed_app_name as app_name,
    cast(count(*) as {{ data_type("count") }}) as calls,
    {{ count_of_status("attributed", "error") }} as failed_calls,
    cast(
        sum(case when attributed.status is null then 1 else 0 end) as {{ data_type("count") }}
    ) as calls_without_status,
    cast(count(distinct attributed.session_id) as {{ data_type("count") }}) as sessions,
    {{ duration_measures("attributed", "duration_ms", counted="timed_calls") }}
from attributed
group by attributed.usage_date, attributed.attributed_tool_name, attributed.attributed_app_name
