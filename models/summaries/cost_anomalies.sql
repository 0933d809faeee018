{#
What is unusual. A cost is compared with those of the same weekday in the weeks before. The difference exceeds `least_mads` scaled
median absolute deviations (MADs), and is at least `least_percent` of the typical cost and at least `least_usd`. A scaled MAD is
the standard deviation if costs are normally distributed. Of each dimension, the values with the most expensive days are compared.
#}
{% set days_shown, weeks_compared, least_weekdays = 90, 8, 4 %}
{% set least_mads, mad_scale, least_percent, least_usd = 3.5, 1.4826, 25, 1 %}
{% set values_compared, dimensions = 200, ["total", "model", "user", "team"] %}

with
    daily_costs as (select * from {{ ref("tokenmart", "daily_costs") }}),

    daily_costs_by_attribution as (select * from {{ ref("tokenmart", "daily_costs_by_attribution") }}),

    daily_costs_by_model as (select * from {{ ref("tokenmart", "daily_costs_by_model") }}),

    daily_costs_by_user as (select * from {{ ref("tokenmart", "daily_costs_by_user") }}),

    request_days as (
        select cast(usage_date as {{ data_type("optional_date") }}) as usage_date
        from {{ ref("tokenmart", "request_days") }}
        where requests > 0
    ),

    numbers as ({{ numbers_below(days_shown) }}),

    today as (select cast({{ local_period("day", utc_now()) }} as {{ data_type("date") }}) as today),

    history as (
        select min(request_days.usage_date) as first_day, max(request_days.usage_date) as last_day
        from request_days
        cross join today
        where request_days.usage_date <= today.today
    ),

    dates as (
        select {{ subtract_days("history.last_day", "numbers.number") }} as usage_date, history.first_day
        from history
        cross join numbers
        where numbers.number <= {{ dbt.datediff("history.first_day", "history.last_day", "day") }}
    ),

    costs as ({{ costs_by_dimension(dimensions) }}),

    recent_costs as (
        select
            costs.dimension as dimension,
            costs.value as value,
            costs.usage_date as usage_date,
            sum(costs.requests) as requests,
            sum(costs.unpriced_requests) as unpriced_requests,
            cast(sum(costs.cost_usd) as {{ data_type("money") }}) as cost_usd
        from costs
        cross join history
        where
            costs.usage_date > {{ subtract_days("history.last_day", days_shown + 7 * weeks_compared) }}
            and costs.usage_date <= history.last_day
        group by costs.dimension, costs.value, costs.usage_date
    ),

    -- the difference cannot be greater than the most expensive day
    costly_values as (
        select
            recent_costs.dimension as dimension,
            recent_costs.value as value,
            max(recent_costs.cost_usd) as highest_cost_usd
        from recent_costs
        group by recent_costs.dimension, recent_costs.value
        having max(recent_costs.cost_usd) >= {{ least_usd }}
    ),

    ranked_values as (
        select
            costly_values.dimension,
            costly_values.value,
            row_number() over (
                partition by costly_values.dimension
                order by costly_values.highest_cost_usd desc, {{ binary_collation("costly_values.value") }}
            ) as place
        from costly_values
    ),

    value_dates as (
        select ranked_values.dimension, ranked_values.value, dates.usage_date, dates.first_day
        from ranked_values
        cross join dates
        where ranked_values.place <= {{ values_compared }}
    ),

    -- a day without requests has cost nothing; a day without a known cost cannot be compared
    dated_costs as (
        select
            value_dates.dimension as dimension,
            value_dates.value as value,
            value_dates.usage_date as usage_date,
            value_dates.first_day,
            coalesce(recent_costs.unpriced_requests, 0) as unpriced_requests,
            case
                when coalesce(recent_costs.requests, 0) > 0
                then recent_costs.cost_usd
                else cast(0 as {{ data_type("money") }})
            end as cost_usd
        from value_dates
        left join
            recent_costs
            on value_dates.dimension = recent_costs.dimension
            and value_dates.value = recent_costs.value
            and value_dates.usage_date = recent_costs.usage_date
    ),

    compared_dates as (
        select dated_costs.*, {{ subtract_days("dated_costs.usage_date", "7 * (numbers.number + 1)") }} as compared_date
        from dated_costs
        cross join numbers
        where
            numbers.number < {{ weeks_compared }}
            and 7 * (numbers.number + 1) <= {{ dbt.datediff("dated_costs.first_day", "dated_costs.usage_date", "day") }}
    ),

    compared_costs as (
        select
            compared_dates.dimension as dimension,
            compared_dates.value as value,
            compared_dates.usage_date as usage_date,
            compared_dates.unpriced_requests as unpriced_requests,
            compared_dates.cost_usd as cost_usd,
            case
                when coalesce(recent_costs.requests, 0) > 0
                then recent_costs.cost_usd
                else cast(0 as {{ data_type("money") }})
            end as compared_cost_usd
        from compared_dates
        left join
            recent_costs
            on compared_dates.dimension = recent_costs.dimension
            and compared_dates.value = recent_costs.value
            and compared_dates.compared_date = recent_costs.usage_date
    ),

    -- the median is the mean of the one or two costs in the middle of their order
    ordered_costs as (
        select
            compared_costs.*,
            row_number() over (
                partition by compared_costs.dimension, compared_costs.value, compared_costs.usage_date
                order by compared_costs.compared_cost_usd
            ) as place,
            count(*) over (
                partition by compared_costs.dimension, compared_costs.value, compared_costs.usage_date
            ) as weekdays
        from compared_costs
        where compared_costs.cost_usd is not null and compared_costs.compared_cost_usd is not null
    ),

    middle_costs as (
        select
            ordered_costs.*,
            cast(
                {{ middle_sum("ordered_costs.compared_cost_usd", "ordered_costs.place", "ordered_costs.weekdays") }}
                over (
                    partition by ordered_costs.dimension, ordered_costs.value, ordered_costs.usage_date
                ) as {{ data_type("money") }}
            ) as middle_usd,
            case when mod(ordered_costs.weekdays, 2) = 0 then 2 else 1 end as middles
        from ordered_costs
        where ordered_costs.weekdays >= {{ least_weekdays }}
    ),

    typical_costs as (
        select
            middle_costs.*, {{ average_money("middle_costs.middle_usd", "middle_costs.middles") }} as typical_cost_usd
        from middle_costs
    ),

    ordered_distances as (
        select
            typical_costs.*,
            abs(typical_costs.compared_cost_usd - typical_costs.typical_cost_usd) as distance_usd,
            row_number() over (
                partition by typical_costs.dimension, typical_costs.value, typical_costs.usage_date
                order by abs(typical_costs.compared_cost_usd - typical_costs.typical_cost_usd)
            ) as distance_place
        from typical_costs
    ),

    middle_distances as (
        select
            ordered_distances.dimension as dimension,
            ordered_distances.value as value,
            ordered_distances.usage_date as usage_date,
            max(ordered_distances.unpriced_requests) as unpriced_requests,
            cast(max(ordered_distances.cost_usd) as {{ data_type("money") }}) as cost_usd,
            cast(max(ordered_distances.typical_cost_usd) as {{ data_type("money") }}) as typical_cost_usd,
            max(ordered_distances.weekdays) as weekdays_compared,
            max(ordered_distances.middles) as middles,
            cast(
                {{
                    middle_sum(
                        "ordered_distances.distance_usd",
                        "ordered_distances.distance_place",
                        "ordered_distances.weekdays",
                    )
                }} as {{ data_type("money") }}
            ) as middle_usd
        from ordered_distances
        group by ordered_distances.dimension, ordered_distances.value, ordered_distances.usage_date
    ),

    differences as (
        select
            middle_distances.*,
            cast(
                middle_distances.cost_usd - middle_distances.typical_cost_usd as {{ data_type("money") }}
            ) as difference_usd,
            case when middle_distances.cost_usd > middle_distances.typical_cost_usd then 'high' else 'low' end as side,
            {{ average_money("middle_distances.middle_usd", "middle_distances.middles") }} as mad_usd
        from middle_distances
    ),

    -- a date that is not over can only be high. Whole numbers keep the comparison exact
    unusual as (
        select differences.*, today.today
        from differences
        cross join today
        where
            abs(differences.difference_usd) * 10000
            > differences.mad_usd * {{ (least_mads * mad_scale * 10000) | round | int }}
            and abs(differences.difference_usd) * 100 >= differences.typical_cost_usd * {{ least_percent }}
            and abs(differences.difference_usd) >= {{ least_usd }}
            and (differences.usage_date < today.today or differences.side = 'high')
    ),

    {{ driver_ctes("differences", dimensions) }}

select
    cast(unusual.usage_date as {{ data_type("date") }}) as usage_date,
    cast(unusual.dimension as {{ data_type("dimension") }}) as dimension,
    unusual.value,
    unusual.cost_usd,
    cast(unusual.unpriced_requests as {{ data_type("count") }}) as unpriced_requests,
    unusual.typical_cost_usd,
    unusual.difference_usd,
    cast(abs(unusual.difference_usd) as {{ data_type("double") }})
    / nullif({{ mad_scale }} * cast(unusual.mad_usd as {{ data_type("double") }}), 0) as deviation,
    cast(unusual.side as {{ data_type("dimension") }}) as direction,
    cast(unusual.weekdays_compared as {{ data_type("count") }}) as weekdays_compared,
    drivers.driver_dimension,
    drivers.driver,
    drivers.driver_difference_usd,
    cast(unusual.usage_date < unusual.today as {{ data_type("boolean") }}) as is_complete
from unusual
left join
    drivers
    on unusual.dimension = drivers.driven_dimension
    and unusual.usage_date = drivers.driven_date
    and unusual.side = drivers.driven_side
