{{ table_layout(keys=["session_id"]) }}

with

    requests as (select * from {{ ref("tokenmart", "llm_requests") }}),

    attributed as (select requests.*, {{ attributed(["session_id"], "requests", "key") }} from requests)

select
    attributed.attributed_session_id as session_id,
    min(attributed.occurred_at) as first_request_at,
    max(attributed.occurred_at) as last_request_at,
    cast(count(distinct attributed.user_id) as {{ data_type("count") }}) as users,
    {{ cost_measures("attributed") }}
from attributed
group by attributed.attributed_session_id
