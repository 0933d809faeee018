{{ table_layout(keys=["window_days"]) }}

-- depends_on: {{ ref('request_days') }}
with

    -- the windows end on the last day that has requests, and on no day in the future
    last_day as (
        select max(cast(days.usage_date as {{ data_type("optional_date") }})) as last_date
        from {{ ref("request_days") }} as days
        where days.requests > 0 and days.usage_date <= {{ local_period("day", utc_now()) }}
    ),

    windows as (
        {% for days in [1, 7, 30, 90] %}
            {% for period, offset in [("current", 0), ("previous", days)] %}
                select
                    cast({{ days }} as {{ data_type("count") }}) as window_days,
                    cast('{{ period }}' as {{ data_type("dimension") }}) as period,
                    cast(
                        {{ days_before("last_day.last_date", offset + days - 1) }} as {{ data_type("date") }}
                    ) as first_date,
                    cast({{ days_before("last_day.last_date", offset) }} as {{ data_type("date") }}) as last_date
                from last_day
                where last_day.last_date is not null {{ 'union all' if not (loop.last and days == 90) }}
            {% endfor %}
        {% endfor %}
    ),

    windowed as (
        select windows.window_days, windows.period, llm_requests.*
        from windows
        inner join
            {{ ref("llm_requests") }} as llm_requests
            on llm_requests.usage_date between windows.first_date and windows.last_date
    ),

    measured as (
        select
            windowed.window_days,
            windowed.period,
            {{ cost_measures("windowed") }},
            cast(count(distinct windowed.user_id) as {{ data_type("count") }}) as active_users,
            {{ count_of_status("windowed", "error") }} as errors,
            {{ count_of_status("windowed", "timeout") }} as timeouts,
            {{ duration_measures("windowed", "duration_ms") }},
            {{ duration_measures("windowed", "time_to_first_token_ms") }}
        from windowed
        group by windowed.window_days, windowed.period
    )

select
    windows.window_days,
    windows.period,
    windows.first_date,
    windows.last_date,
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
    {{ average_money("measured.cost_usd * 30", "windows.window_days") }} as projected_month_cost_usd,
    {% for column in duration_columns("duration_ms")[1:] + duration_columns("time_to_first_token_ms")[1:] %}
        measured.{{ column }}{{ ',' if not loop.last }}
    {% endfor %}
from windows
left join measured on windows.window_days = measured.window_days and windows.period = measured.period
