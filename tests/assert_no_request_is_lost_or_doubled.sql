-- Every event id of a complete load that has been taken is one row of llm_requests, and there is no other row.
with

    events as (select * from {{ without_dependency("stg_usage__events") }}),

    loads as (select * from {{ without_dependency("loads") }}),

    llm_requests as (select * from {{ ref("tokenmart", "llm_requests") }}),

    both_sides as (
        select event_id, usage_date, 1 as is_taken, 0 as is_request
        from events
        where load_id in (select load_id from loads where batch_id > 0)
        union all
        select event_id, usage_date, 0 as is_taken, 1 as is_request
        from llm_requests
    )

select event_id, sum(is_request) as times
from both_sides
group by event_id
having
    (max(is_taken) = 0 or sum(is_request) <> 1)
    {% if first_kept_day() %} and min(usage_date) >= date '{{ first_kept_day() }}' {% endif %}
