{{ table_layout(keys=["window_days"]) }}

with

    llm_requests as (
        select usage_date, status, duration_ms, time_to_first_token_ms from {{ ref("tokenmart", "llm_requests") }}
    ),

    daily_costs as (select * from {{ ref("tokenmart", "daily_costs") }}),

    daily_costs_by_user as (select * from {{ ref("tokenmart", "daily_costs_by_user") }}),

    request_days as (
        select cast(usage_date as {{ data_type("optional_date") }}) as usage_date
        from {{ ref("tokenmart", "request_days") }}
        where requests > 0
    ),

    today as (select cast({{ local_period("day", utc_now()) }} as {{ data_type("date") }}) as today),

    -- the windows end on the last day that has requests and is not in the future
    history as (
        select
            min(request_days.usage_date) as first_day,
            max(request_days.usage_date) as last_day,
            max({{ subtract_days("today.today", 1) }}) as yesterday
        from request_days
        inner join today on request_days.usage_date <= today.today
    ),

    windows as ({{ summary_windows("history", [1, 7, 30, 90]) }}),

    -- the projected month uses only complete days since the first request
    projected as (
        select
            windows.*,
            case
                when windows.first_date < history.first_day then history.first_day else windows.first_date
            end as first_projected,
            case
                when windows.last_date > history.yesterday then history.yesterday else windows.last_date
            end as last_projected
        from windows
        cross join history
    ),

    costs as (
        select
            projected.window_days,
            projected.period,
            {{ cost_totals("daily_costs") }},
            sum(
                case when daily_costs.usage_date <= projected.last_projected then daily_costs.cost_usd end
            ) as complete_cost_usd
        from projected
        inner join daily_costs on daily_costs.usage_date between projected.first_date and projected.last_date
        group by projected.window_days, projected.period
    ),

    users as (
        select
            projected.window_days,
            projected.period,
            cast(count(distinct daily_costs_by_user.user_id) as {{ data_type("count") }}) as active_users
        from projected
        inner join
            daily_costs_by_user on daily_costs_by_user.usage_date between projected.first_date and projected.last_date
        where daily_costs_by_user.user_id <> 'unattributed'
        group by projected.window_days, projected.period
    ),

    -- daily percentiles cannot be combined, so this reads the durations of all requests in the windows
    durations as (
        select
            projected.window_days,
            projected.period,
            {{ count_of_status("llm_requests", "error") }} as errors,
            {{ count_of_status("llm_requests", "timeout") }} as timeouts,
            {{ duration_measures("llm_requests", "duration_ms") }},
            {{ duration_measures("llm_requests", "time_to_first_token_ms") }}
        from projected
        inner join llm_requests on llm_requests.usage_date between projected.first_date and projected.last_date
        group by projected.window_days, projected.period
    ),

    counted as (
        select
            projected.window_days,
            projected.period,
            projected.first_date,
            projected.last_date,
            cast(
                case
                    when projected.first_projected <= projected.last_projected
                    then {{ dbt.datediff("projected.first_projected", "projected.last_projected", "day") }} + 1
                    else 0
                end as {{ data_type("count") }}
            ) as projection_days
        from projected
    )

select
    -- without the alias, some warehouses would keep the prefix, because several relations have these columns
    counted.window_days as window_days,
    counted.period as period,
    counted.first_date,
    counted.last_date,
    {% for relation, counts in {
        "costs": ["requests", "priced_requests", "unpriced_requests", "unmetered_requests"],
        "users": ["active_users"],
        "durations": ["errors", "timeouts", "timed_requests", "first_token_timed_requests"],
    }.items() %}
        {% for count in counts %}
            cast(coalesce({{ relation }}.{{ count }}, 0) as {{ data_type("count") }}) as {{ count }},
        {% endfor %}
    {% endfor %}
    cast(durations.errors as {{ data_type("double") }}) / nullif(costs.requests, 0) as error_rate,
    {% for column in token_columns() + cost_columns() %} costs.{{ column }}, {% endfor %}
    {{ average_money("costs.cost_usd", "costs.requests") }} as average_cost_usd,
    counted.projection_days,
    cast(
        case
            when counted.projection_days >= 3
            then {{ average_money("costs.complete_cost_usd * 30", "counted.projection_days") }}
        end as {{ data_type("money") }}
    ) as projected_month_cost_usd,
    {% for column in duration_columns("duration_ms")[1:] + duration_columns("time_to_first_token_ms")[1:] %}
        durations.{{ column }}{{ ',' if not loop.last }}
    {% endfor %}
from counted
left join costs on counted.window_days = costs.window_days and counted.period = costs.period
left join users on counted.window_days = users.window_days and counted.period = users.period
left join durations on counted.window_days = durations.window_days and counted.period = durations.period
