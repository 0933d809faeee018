{#
On each tested date, these columns of the model add up to those of llm_requests, and no two rows have the same key. The model
has no rows for dates without requests.
#}
{% test adds_up_by_day(model, key, columns=none) %}
    {% set counts = columns or ["requests", "priced_requests", "unpriced_requests", "unmetered_requests"] %}
    {% set sums = [] if columns else token_columns() + cost_columns() %}
    with

        model as (select * from {{ model }}),

        request_days as (select * from {{ without_dependency("request_days") }}),

        -- not called requests, because in group by some warehouses would resolve that name to the measure
        request as (select * from {{ without_dependency("llm_requests") }} where {{ is_tested() }}),

        expected as (
            select
                request.usage_date,
                {{ cost_measures("request") }},
                {{ count_of_status("request", "error") }} as errors,
                {{ count_of_status("request", "timeout") }} as timeouts,
                sum(case when request.status <> 'success' then 1 else 0 end) as failed_requests,
                count(request.duration_ms) as timed_requests,
                count(request.time_to_first_token_ms) as first_token_timed_requests
            from request
            group by request.usage_date
        ),

        found as (
            select
                model.usage_date {% for column in counts + sums %}, sum(model.{{ column }}) as {{ column }} {% endfor %}
            from model
            where {{ is_tested() }}
            group by model.usage_date
        )

    select expected.usage_date
    from expected
    left join found on expected.usage_date = found.usage_date
    where
        {% for column in counts %}
            coalesce(found.{{ column }}, 0) <> expected.{{ column }} {{ 'or' if sums or not loop.last }}
        {% endfor %}
        {% for column in sums %}
            found.{{ column }} is distinct from expected.{{ column }} {{ 'or' if not loop.last }}
        {% endfor %}
    union all
    select model.usage_date
    from model
    where model.usage_date not in (select usage_date from request_days where requests > 0) and model.{{ counts[0] }} > 0
    union all
    select min(model.usage_date)
    from model
    where {{ is_tested() }}
    group by {{ key | join(", ") }}
    having count(*) > 1
{% endtest %}
