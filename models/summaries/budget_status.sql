{% set period_columns = [
    "budget_id",
    "period",
    "period_start",
    "period_end",
    "dimension",
    "value",
    "amount_usd",
    "warning_share",
    "this_day",
] %}
with
    budgets as (select * from {{ user_seed("budgets") }}),

    daily_costs as (select * from {{ ref("tokenmart", "daily_costs") }}),

    daily_costs_by_attribution as (select * from {{ ref("tokenmart", "daily_costs_by_attribution") }}),

    daily_costs_by_model as (select * from {{ ref("tokenmart", "daily_costs_by_model") }}),

    daily_costs_by_user as (select * from {{ ref("tokenmart", "daily_costs_by_user") }}),

    request_days as (
        select cast(usage_date as {{ data_type("optional_date") }}) as usage_date
        from {{ ref("tokenmart", "request_days") }}
        where requests > 0
    ),

    numbers as ({{ numbers_below(36525) }}),

    today as (select cast({{ local_period("day", utc_now()) }} as {{ data_type("date") }}) as today),

    history as (
        select min(request_days.usage_date) as first_day, max(today.today) as this_day
        from request_days
        cross join today
    ),

    -- every day since the first request, because a period without requests has a row too
    days as (
        select {{ subtract_days("history.first_day", "-numbers.number") }} as calendar_day
        from history
        cross join numbers
        where numbers.number <= {{ dbt.datediff("history.first_day", "history.this_day", "day") }}
    ),

    period_starts as (
        {% for period in ["month", "week"] %}
            select distinct
                cast('{{ period }}' as {{ data_type("key") }}) as period,
                {{ period_start(period, "days.calendar_day") }} as period_start
            from days {{ "union all" if not loop.last }}
        {% endfor %}
    ),

    -- a month ends before the first day of the month that the 31st day after its start is in
    periods as (
        select
            period_starts.*,
            case
                when period_starts.period = 'month'
                then {{ period_start("month", subtract_days("period_starts.period_start", -31)) }}
                else {{ subtract_days("period_starts.period_start", -7) }}
            end as period_end
        from period_starts
    ),

    budget_periods as (
        select
            cast(budgets.budget_id as {{ data_type("key") }}) as budget_id,
            cast(budgets.dimension as {{ data_type("key") }}) as dimension,
            cast(coalesce(budgets.value, '') as {{ data_type("key") }}) as value,
            cast(budgets.amount_usd as {{ data_type("money") }}) as amount_usd,
            coalesce(
                cast(budgets.warning_share as {{ data_type("price") }}), cast('0.8' as {{ data_type("price") }})
            ) as warning_share,
            periods.period as period,
            periods.period_start,
            periods.period_end,
            history.this_day,
            case
                when history.first_day > periods.period_start then history.first_day else periods.period_start
            end as first_counted,
            case
                when history.this_day < periods.period_end then history.this_day else periods.period_end
            end as complete_until
        from budgets
        inner join periods on budgets.period = periods.period
        cross join history
        where
            periods.period_start
            >= coalesce(cast(budgets.valid_from as {{ data_type("optional_date") }}), date '2000-01-01')
            and periods.period_start
            < coalesce(cast(budgets.valid_to as {{ data_type("optional_date") }}), date '2100-01-01')
            -- a part of an earlier period has been deleted
            {% if first_kept_date() %} and periods.period_start >= date '{{ first_kept_date() }}' {% endif %}
    ),

    costs as ({{ costs_by_dimension(cost_dimensions().keys()) }}),

    spending as (
        select
            budget_periods.budget_id,
            budget_periods.period,
            budget_periods.period_start,
            sum(costs.requests) as requests,
            sum(costs.unpriced_requests) as unpriced_requests,
            sum(costs.cost_usd) as cost_usd,
            sum(
                case when costs.usage_date < budget_periods.this_day then costs.requests else 0 end
            ) as complete_requests,
            sum(case when costs.usage_date < budget_periods.this_day then costs.cost_usd end) as complete_cost_usd
        from budget_periods
        inner join costs on budget_periods.dimension = costs.dimension and budget_periods.value = costs.value
        where
            costs.usage_date >= budget_periods.period_start
            and costs.usage_date < budget_periods.period_end
            and costs.usage_date <= budget_periods.this_day
        group by budget_periods.budget_id, budget_periods.period, budget_periods.period_start
    ),

    -- without requests, nothing was spent; without a known cost, the spending is unknown
    spent as (
        select
            -- without the alias, some warehouses would keep the prefix, because both relations have these columns
            {% for column in period_columns %} budget_periods.{{ column }} as {{ column }}, {% endfor %}
            cast(coalesce(spending.requests, 0) as {{ data_type("count") }}) as requests,
            cast(coalesce(spending.unpriced_requests, 0) as {{ data_type("count") }}) as unpriced_requests,
            {% for total, counted in [("cost_usd", "requests"), ("complete_cost_usd", "complete_requests")] %}
                case
                    when coalesce(spending.{{ counted }}, 0) > 0
                    then spending.{{ total }}
                    else cast(0 as {{ data_type("money") }})
                end as {{ total }},
            {% endfor %}
            {{ dbt.datediff("budget_periods.first_counted", "budget_periods.complete_until", "day") }} as complete_days,
            {{ dbt.datediff("budget_periods.first_counted", "budget_periods.period_end", "day") }} as projected_days,
            {{ dbt.datediff("budget_periods.period_start", "budget_periods.period_end", "day") }} as period_days
        from budget_periods
        left join
            spending
            on budget_periods.budget_id = spending.budget_id
            and budget_periods.period = spending.period
            and budget_periods.period_start = spending.period_start
    ),

    projected as (
        select
            spent.*,
            cast(spent.complete_cost_usd * spent.projected_days as {{ data_type("money") }}) as cost_times_days,
            cast(spent.amount_usd * spent.warning_share as {{ data_type("money") }}) as warning_usd
        from spent
    ),

    forecast as (
        select
            projected.*,
            cast(
                case
                    when projected.period_end <= projected.this_day
                    then projected.cost_usd
                    when projected.complete_days >= 3
                    then {{ average_money("projected.cost_times_days", "projected.complete_days") }}
                end as {{ data_type("money") }}
            ) as forecast_usd
        from projected
    )

select
    forecast.budget_id,
    cast(forecast.period as {{ data_type("dimension") }}) as period,
    cast(forecast.period_start as {{ data_type("date") }}) as period_start,
    cast(forecast.period_end as {{ data_type("date") }}) as period_end,
    cast(forecast.dimension as {{ data_type("dimension") }}) as dimension,
    forecast.value,
    forecast.amount_usd,
    cast(forecast.cost_usd as {{ data_type("money") }}) as spent_usd,
    forecast.requests,
    forecast.unpriced_requests,
    cast(forecast.cost_usd as {{ data_type("double") }})
    / nullif(cast(forecast.amount_usd as {{ data_type("double") }}), 0) as spent_share,
    cast(forecast.complete_days as {{ data_type("count") }}) as complete_days,
    cast(forecast.period_days as {{ data_type("count") }}) as period_days,
    cast(forecast.period_end <= forecast.this_day as {{ data_type("boolean") }}) as is_complete,
    forecast.forecast_usd,
    cast(
        case
            when forecast.cost_usd > forecast.amount_usd
            then 'exceeded'
            when
                (forecast.amount_usd > 0 and forecast.cost_usd >= forecast.warning_usd)
                or forecast.forecast_usd > forecast.amount_usd
            then 'warning'
            when forecast.cost_usd is not null
            then 'ok'
        end as {{ data_type("label") }}
    ) as status
from forecast
