{#
What is unusual. A cost is compared with those of the same weekday in the weeks before. The difference exceeds `least_mads` scaled
median absolute deviations (MADs), and is at least `least_percent` of the typical cost and at least `least_usd`. A scaled MAD is
the standard deviation if costs are normally distributed. Of each dimension, the values with the most expensive days are compared.
The costs of the days are moved to the days that they are compared on, and from there window functions replace joins, because
some warehouses compute a CTE again wherever it is read.
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

    today as (select cast({{ local_period("day", utc_now()) }} as {{ data_type("date") }}) as today),

    history as (
        select
            min(request_days.usage_date) as first_day,
            max(request_days.usage_date) as last_day,
            {{ subtract_days("max(request_days.usage_date)", days_shown - 1) }} as first_day_shown
        from request_days
        cross join today
        where request_days.usage_date <= today.today
    ),

    numbers as ({{ numbers_below(days_shown + 7 * weeks_compared) }}),

    days as (
        select {{ subtract_days("history.last_day", "numbers.number") }} as calendar_day
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
            costs.usage_date >= {{ subtract_days("history.first_day_shown", 7 * weeks_compared) }}
            and costs.usage_date <= history.last_day
        group by costs.dimension, costs.value, costs.usage_date
    ),

    -- the difference cannot be greater than the highest cost
    ranked_values as (
        select
            recent_costs.dimension as dimension,
            recent_costs.value as value,
            row_number() over (
                partition by recent_costs.dimension
                order by max(recent_costs.cost_usd) desc, {{ binary_collation("recent_costs.value") }}
            ) as place
        from recent_costs
        group by recent_costs.dimension, recent_costs.value
        having max(recent_costs.cost_usd) >= {{ least_usd }}
    ),

    -- a day without requests has cost nothing; a day without a known cost cannot be compared
    dated_costs as (
        select
            ranked_values.dimension as dimension,
            ranked_values.value as value,
            days.calendar_day as usage_date,
            coalesce(recent_costs.unpriced_requests, 0) as unpriced_requests,
            case
                when recent_costs.requests > 0 then recent_costs.cost_usd else cast(0 as {{ data_type("money") }})
            end as cost_usd
        from ranked_values
        cross join days
        left join
            recent_costs
            on ranked_values.dimension = recent_costs.dimension
            and ranked_values.value = recent_costs.value
            and days.calendar_day = recent_costs.usage_date
        where ranked_values.place <= {{ values_compared }}
    ),

    -- each cost on its own day (0 weeks later), and on the days that it is compared on
    compared_costs as (
        select
            dated_costs.dimension as dimension,
            dated_costs.value as value,
            {{ subtract_days("dated_costs.usage_date", "-7 * numbers.number") }} as usage_date,
            case when numbers.number = 0 then 0 else 1 end as is_earlier,
            dated_costs.unpriced_requests as unpriced_requests,
            dated_costs.cost_usd as cost_usd
        from dated_costs
        cross join numbers
        where numbers.number <= {{ weeks_compared }} and dated_costs.cost_usd is not null
    ),

    ordered_costs as (
        select
            compared_costs.*,
            row_number() over (
                partition by
                    compared_costs.dimension, compared_costs.value, compared_costs.usage_date, compared_costs.is_earlier
                order by compared_costs.cost_usd
            ) as place,
            sum(compared_costs.is_earlier) over (
                partition by compared_costs.dimension, compared_costs.value, compared_costs.usage_date
            ) as weekdays
        from compared_costs
        cross join history
        where compared_costs.usage_date >= history.first_day_shown and compared_costs.usage_date <= history.last_day
    ),

    typical_costs as (
        select
            ordered_costs.*,
            {{
                median_money(
                    "ordered_costs.cost_usd",
                    "ordered_costs.place",
                    "ordered_costs.weekdays",
                    "ordered_costs.is_earlier = 1",
                    "ordered_costs.dimension, ordered_costs.value, ordered_costs.usage_date",
                )
            }} as typical_cost_usd
        from ordered_costs
        where ordered_costs.weekdays >= {{ least_weekdays }}
    ),

    distances as (
        select
            typical_costs.*,
            abs(typical_costs.cost_usd - typical_costs.typical_cost_usd) as distance_usd,
            row_number() over (
                partition by
                    typical_costs.dimension, typical_costs.value, typical_costs.usage_date, typical_costs.is_earlier
                order by abs(typical_costs.cost_usd - typical_costs.typical_cost_usd)
            ) as distance_place
        from typical_costs
    ),

    deviations as (
        select
            distances.*,
            cast(distances.cost_usd - distances.typical_cost_usd as {{ data_type("money") }}) as difference_usd,
            case when distances.cost_usd > distances.typical_cost_usd then 'high' else 'low' end as side,
            {{
                median_money(
                    "distances.distance_usd",
                    "distances.distance_place",
                    "distances.weekdays",
                    "distances.is_earlier = 1",
                    "distances.dimension, distances.value, distances.usage_date",
                )
            }} as mad_usd
        from distances
    ),

    differences as (
        select
            deviations.*,
            abs(deviations.difference_usd) as size_usd,
            deviations.usage_date < history.last_day as is_complete,
            row_number() over (
                partition by
                    deviations.usage_date,
                    deviations.side,
                    deviations.dimension,
                    case when deviations.value = 'unattributed' or deviations.difference_usd = 0 then 0 else 1 end
                order by abs(deviations.difference_usd) desc, {{ binary_collation("deviations.value") }}
            ) as driver_place
        from deviations
        cross join history
        where deviations.is_earlier = 0
    ),

    -- the model, user and team that differ most in the same direction drive the total
    driven as (
        select
            differences.*,
            {% for dimension in dimensions if dimension != "total" %}
                max(
                    case
                        when
                            differences.dimension = '{{ dimension }}'
                            and differences.driver_place = 1
                            and differences.value <> 'unattributed'
                            and differences.difference_usd <> 0
                        then differences.value
                    end
                ) over (partition by differences.usage_date, differences.side) as driver_{{ dimension }}
                {{ "," if not loop.last }}
            {% endfor %}
        from differences
    )

-- a day that may get more requests can only be high. Whole numbers keep the comparison with the MAD exact
select
    cast(driven.usage_date as {{ data_type("date") }}) as usage_date,
    cast(driven.dimension as {{ data_type("dimension") }}) as dimension,
    driven.value as value,
    cast(driven.cost_usd as {{ data_type("money") }}) as cost_usd,
    cast(driven.unpriced_requests as {{ data_type("count") }}) as unpriced_requests,
    driven.typical_cost_usd as typical_cost_usd,
    driven.difference_usd as difference_usd,
    cast(driven.size_usd as {{ data_type("double") }})
    / nullif({{ mad_scale }} * cast(driven.mad_usd as {{ data_type("double") }}), 0) as deviation,
    cast(driven.side as {{ data_type("dimension") }}) as direction,
    cast(driven.weekdays as {{ data_type("count") }}) as weekdays_compared,
    {% for dimension in dimensions if dimension != "total" %}
        cast(
            case when driven.dimension = 'total' then driven.driver_{{ dimension }} end as {{ data_type("text") }}
        ) as driver_{{ dimension }},
    {% endfor %}
    cast(driven.is_complete as {{ data_type("boolean") }}) as is_complete
from driven
where
    driven.size_usd * 10000 > driven.mad_usd * {{ (least_mads * mad_scale * 10000) | round | int }}
    and driven.size_usd * 100 >= driven.typical_cost_usd * {{ least_percent }}
    and driven.size_usd >= {{ least_usd }}
    and (driven.is_complete or driven.side = 'high')
