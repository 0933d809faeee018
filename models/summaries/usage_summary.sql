-- depends_on: {{ ref('request_days') }}
with

    -- the windows end on the last day that has requests, and on no day in the future
    last_day as (
        select max(usage_date) as usage_date
        from {{ ref("request_days") }}
        where requests > 0 and usage_date <= cast({{ local_timestamp(utc_now()) }} as {{ data_type("date") }})
    ),

    windows as (
        {% for days in [1, 7, 30, 90] %}
            {% for period, offset in [("current", 0), ("previous", days)] %}
                select
                    cast({{ days }} as {{ data_type("bigint") }}) as window_days,
                    '{{ period }}' as period,
                    {{ days_before("usage_date", offset + days - 1) }} as first_date,
                    {{ days_before("usage_date", offset) }} as last_date
                from last_day
                where usage_date is not null {{ 'union all' if not (loop.last and days == 90) }}
            {% endfor %}
        {% endfor %}
    ),

    requests as (
        select windows.window_days, windows.period, requests.*
        from windows
        inner join
            {{ ref("llm_requests") }} as requests
            on requests.usage_date between windows.first_date and windows.last_date
    ),

    measured as (
        select
            requests.window_days,
            requests.period,
            {{ cost_measures("requests") }},
            cast(count(distinct requests.user_id) as {{ data_type("bigint") }}) as active_users,
            {{ count_of_status("requests", "error") }} as errors,
            {{ count_of_status("requests", "timeout") }} as timeouts,
            {{ duration_measures("requests", "duration_ms") }},
            {{ duration_measures("requests", "time_to_first_token_ms") }}
        from requests
        group by requests.window_days, requests.period
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
        coalesce(measured.{{ count }}, 0) as {{ count }},
    {% endfor %}
    cast(measured.errors as {{ data_type("double") }}) / measured.requests as error_rate,
    {% for column in token_columns() + cost_columns() %} measured.{{ column }}, {% endfor %}
    {{ average_money("measured.cost_usd", "measured.requests") }} as average_cost_usd,
    {{ average_money("measured.cost_usd * 30", "windows.window_days") }} as projected_month_cost_usd,
    {% for column in duration_columns("duration_ms")[1:] + duration_columns("time_to_first_token_ms")[1:] %}
        measured.{{ column }}{{ ',' if not loop.last }}
    {% endfor %}
from windows
left join measured on windows.window_days = measured.window_days and windows.period = measured.period
