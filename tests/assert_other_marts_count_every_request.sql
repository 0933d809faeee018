-- The latency and error marts count the same requests, errors and timeouts as llm_requests, day by day.
with

    expected as (
        select
            llm_requests.usage_date,
            {{ failure_counts("llm_requests") }},
            sum(case when llm_requests.status <> 'success' then 1 else 0 end) as failed_requests,
            count(llm_requests.duration_ms) as timed_requests
        from {{ ref("llm_requests") }} as llm_requests
        group by llm_requests.usage_date
    ),

    latency as (
        select usage_date, sum(requests) as requests, sum(duration_ms_requests) as timed_requests
        from {{ ref("daily_latency") }}
        group by usage_date
    ),

    latency_by_model as (
        select usage_date, sum(requests) as requests, sum(duration_ms_requests) as timed_requests
        from {{ ref("daily_latency_by_model") }}
        group by usage_date
    ),

    errors_by_model as (
        select usage_date, sum(requests) as requests, sum(errors) as errors, sum(timeouts) as timeouts
        from {{ ref("daily_errors_by_model") }}
        group by usage_date
    ),

    errors_by_type as (
        select usage_date, sum(failed_requests) as failed_requests, sum(errors) as errors, sum(timeouts) as timeouts
        from {{ ref("daily_errors_by_type") }}
        group by usage_date
    )

select expected.usage_date
from expected
left join latency on expected.usage_date = latency.usage_date
left join latency_by_model on expected.usage_date = latency_by_model.usage_date
left join errors_by_model on expected.usage_date = errors_by_model.usage_date
left join errors_by_type on expected.usage_date = errors_by_type.usage_date
where
    expected.requests is distinct from latency.requests
    or expected.timed_requests is distinct from latency.timed_requests
    or expected.requests is distinct from latency_by_model.requests
    or expected.timed_requests is distinct from latency_by_model.timed_requests
    or expected.requests is distinct from errors_by_model.requests
    or expected.errors is distinct from errors_by_model.errors
    or expected.timeouts is distinct from errors_by_model.timeouts
    or expected.failed_requests <> coalesce(errors_by_type.failed_requests, 0)
    or expected.errors <> coalesce(errors_by_type.errors, 0)
    or expected.timeouts <> coalesce(errors_by_type.timeouts, 0)
