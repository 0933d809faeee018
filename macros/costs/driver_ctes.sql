{#
CTEs of which the last one, `drivers`, has for each dimension, date and side (high or low) the model, user or team of another
dimension whose cost differs most from its typical cost on that side. Of equal ones, the first dimension counts.
#}
{% macro driver_ctes(differences, dimensions) %}
    ranked_values_of_dates as (
        select
            {{ differences }}.*,
            row_number() over (
                partition by {{ differences }}.usage_date, {{ differences }}.side, {{ differences }}.dimension
                order by abs({{ differences }}.difference_usd) desc, {{ binary_collation(differences ~ ".value") }}
            ) as value_place
        from {{ differences }}
        where
            {{ differences }}.dimension <> 'total'
            and {{ differences }}.value <> 'unattributed'
            and {{ differences }}.difference_usd <> 0
    ),

    driven_dimensions as (
        {% for dimension in dimensions %}
            select
                cast('{{ dimension }}' as {{ data_type("key") }}) as driven_dimension {{ "union all" if not loop.last }}
        {% endfor %}
    ),

    ranked_drivers as (
        select
            ranked_values_of_dates.*,
            driven_dimensions.driven_dimension,
            row_number() over (
                partition by
                    driven_dimensions.driven_dimension, ranked_values_of_dates.usage_date, ranked_values_of_dates.side
                order by
                    abs(ranked_values_of_dates.difference_usd) desc,
                    case
                        {%- for dimension in dimensions %}
                            when ranked_values_of_dates.dimension = '{{ dimension }}' then {{ loop.index }}
                        {%- endfor %}
                    end
            ) as driver_place
        from ranked_values_of_dates
        cross join driven_dimensions
        where
            ranked_values_of_dates.value_place = 1
            and ranked_values_of_dates.dimension <> driven_dimensions.driven_dimension
    ),

    drivers as (
        select
            ranked_drivers.driven_dimension,
            ranked_drivers.usage_date as driven_date,
            ranked_drivers.side as driven_side,
            cast(ranked_drivers.dimension as {{ data_type("label") }}) as driver_dimension,
            cast(ranked_drivers.value as {{ data_type("text") }}) as driver,
            ranked_drivers.difference_usd as driver_difference_usd
        from ranked_drivers
        where ranked_drivers.driver_place = 1
    )
{%- endmacro %}
