-- Every event id of a complete load that has been taken is one row of llm_requests, and there is no other row.
with

    taken as (
        select event_id
        from {{ ref("stg_usage__events") }}
        where load_id in (select load_id from {{ ref("loads") }} where batch_id > 0)
        group by event_id
    ),

    requests as (select event_id, count(*) as times from {{ ref("llm_requests") }} group by event_id)

select coalesce(taken.event_id, requests.event_id) as event_id, requests.times
from taken
full outer join requests on taken.event_id = requests.event_id
where taken.event_id is null or requests.event_id is null or requests.times > 1
