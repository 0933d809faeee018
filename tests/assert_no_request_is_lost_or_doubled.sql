-- Every event id of a processed load has exactly one row in llm_requests, and llm_requests has no other rows.
with

    -- not stg_usage__events, because that view also computes the increases of running totals
    dated_events as (
        select event_id, occurred_at, {{ local_period("day", utc_timestamp("occurred_at")) }} as usage_date
        from {{ without_dependency("events") }}
        where _dlt_load_id in (select load_id from {{ without_dependency("loads") }} where {{ is_processed() }})
    ),

    events as (
        select cast(event_id as {{ data_type("key") }}) as event_id, usage_date
        from dated_events
        where {{ is_tested(time=utc_timestamp("occurred_at")) }}
    ),

    llm_requests as (select event_id, usage_date from {{ ref("tokenmart", "llm_requests") }}),

    both_sides as (
        select event_id, usage_date, 1 as events, 0 as requests
        from events
        union all
        select event_id, usage_date, 0 as events, 1 as requests
        from llm_requests
        where {{ is_tested() }}
        union all
        -- a request may have another date than some of its events
        select event_id, usage_date, 0 as events, 1 as requests
        from llm_requests
        where not ({{ is_tested() }}) and event_id in (select event_id from events)
    )

select event_id, sum(requests) as times
from both_sides
group by event_id
having
    (max(events) = 0 or sum(requests) <> 1)
    {% if first_kept_date() %} and min(usage_date) >= date '{{ first_kept_date() }}' {% endif %}
