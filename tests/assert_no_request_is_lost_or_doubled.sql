-- Every event id of a complete load that has been taken is one row of llm_requests, and there is no other row.
with

    taken as (
        select event_id, usage_date, 1 as is_taken, 0 as is_request
        from {{ ref("stg_usage__events") }}
        where load_id in (select load_id from {{ ref("loads") }} where batch_id > 0)
    ),

    requests as (select event_id, usage_date, 0 as is_taken, 1 as is_request from {{ ref("llm_requests") }}),

    both_sides as (
        select *
        from taken
        union all
        select *
        from requests
    )

select event_id, sum(is_request) as times
from both_sides
group by event_id
having
    (max(is_taken) = 0 or sum(is_request) <> 1)
    {% if first_kept_day() %} and min(usage_date) >= date '{{ first_kept_day() }}' {% endif %}
