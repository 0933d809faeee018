{{ table_layout(keys=["window_days"]) }}

with

    llm_requests as (select * from {{ ref("tokenmart", "llm_requests") }}),

    request_days as (
        select cast(usage_date as {{ data_type("optional_date") }}) as usage_date
        from {{ ref("tokenmart", "request_days") }}
        where requests > 0
    ),

    today as (select cast({{ local_period("day", utc_now()) }} as {{ data_type("date") }}) as today),

    -- the windows end on the last day that has requests, and on no day in the future
    history as (
        select
            min(request_days.usage_date) as first_day,
            max(request_days.usage_date) as last_day,
            max({{ days_before("today.today", 1) }}) as yesterday
        from request_days
        inner join today on request_days.usage_date <= today.today
    ),

    windows as (
        {% for days in [1, 7, 30, 90] %}
            {% for period, offset in [("current", 0), ("previous", days)] %}
                select
                    cast({{ days }} as {{ data_type("count") }}) as window_days,
                    cast('{{ period }}' as {{ data_type("dimension") }}) as period,
                    cast(
                        {{ days_before("history.last_day", offset + days - 1) }} as {{ data_type("date") }}
                    ) as first_date,
                    cast({{ days_before("history.last_day", offset) }} as {{ data_type("date") }}) as last_date
                from history
                where history.last_day is not null {{ 'union all' if not (loop.last and days == 90) }}
            {% endfor %}
        {% endfor %}
    ),

    -- a month is projected from complete days since the first request
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

    windowed as (
        select
            projected.window_days,
            projected.period,
            case
                when llm_requests.usage_date <= projected.last_projected then llm_requests.cost_usd
            end as complete_cost_usd,
            llm_requests.*
        from projected
        inner join llm_requests on llm_requests.usage_date between projected.first_date and projected.last_date
    ),

    measured as (
        select
            windowed.window_days,
            windowed.period,
            {{ cost_measures("windowed") }},
            sum(windowed.complete_cost_usd) as complete_cost_usd,
            cast(count(distinct windowed.user_id) as {{ data_type("count") }}) as active_users,
            {{ count_of_status("windowed", "error") }} as errors,
            {{ count_of_status("windowed", "timeout") }} as timeouts,
            {{ duration_measures("windowed", "duration_ms") }},
            {{ duration_measures("windowed", "time_to_first_token_ms") }}
        from windowed
        group by windowed.window_days, windowed.period
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
    counted.window_days,
    counted.period,
    counted.first_date,
    counted.last_date,
    {% for count in [
        "requests",
        "priced_requests",
        "unpriced_requests",
        "unmetered_requests",
        "active_users",
        "errors",
        "timeouts",
        "duration_ms_requests",
        "time_to_first_token_ms_requests",
    ] %}
        cast(coalesce(measured.{{ count }}, 0) as {{ data_type("count") }}) as {{ count }},
    {% endfor %}
    cast(measured.errors as {{ data_type("double") }}) / nullif(measured.requests, 0) as error_rate,
    {% for column in token_columns() + cost_columns() %} measured.{{ column }}, {% endfor %}
    {{ average_money("measured.cost_usd", "measured.requests") }} as average_cost_usd,
    counted.projection_days,
    cast(
        case
            when counted.projection_days >= 3
            then {{ average_money("measured.complete_cost_usd * 30", "counted.projection_days") }}
        end as {{ data_type("money") }}
    ) as projected_month_cost_usd,
    {% for column in duration_columns("duration_ms")[1:] + duration_columns("time_to_first_token_ms")[1:] %}
        measured.{{ column }}{{ ',' if not loop.last }}
    {% endfor %}
from counted
left join measured on counted.window_days = measured.window_days and counted.period = measured.period
