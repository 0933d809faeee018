-- Every budget has a known period and dimension, an amount that is not negative, and dates and a share that make sense,
-- and no two rows of a budget are valid on the same date.
with

    budgets as (select * from {{ user_seed("budgets") }}),

    budget as (
        select
            cast(budgets.budget_id as {{ data_type("text") }}) as budget_id,
            cast(budgets.period as {{ data_type("text") }}) as period,
            cast(budgets.dimension as {{ data_type("text") }}) as dimension,
            coalesce(budgets.value, '') as value,
            budgets.amount_usd,
            budgets.warning_share,
            cast(budgets.valid_from as {{ data_type("optional_date") }}) as valid_from,
            cast(budgets.valid_to as {{ data_type("optional_date") }}) as valid_to
        from budgets
    ),

    dated as (
        select
            budget.*,
            coalesce(budget.valid_from, date '2000-01-01') as first_date,
            coalesce(budget.valid_to, date '2100-01-01') as end_date
        from budget
    ),

    ordered as (
        select
            dated.*,
            max(dated.end_date) over (
                partition by dated.budget_id
                order by dated.first_date, dated.end_date
                rows between unbounded preceding and 1 preceding
            ) as earlier_end_date
        from dated
    ),

    checked as (
        select
            ordered.budget_id,
            ordered.valid_from as valid_from,
            case
                when coalesce(ordered.budget_id, '') = ''
                then 'budget_id is empty'
                when coalesce(ordered.period, '') not in ('month', 'week')
                then 'period is not month or week'
                when coalesce(ordered.dimension, '') not in ({{ quoted_list(cost_dimensions().keys()) }})
                then 'dimension is not {{ cost_dimensions().keys() | join(", ") }}'
                when ordered.dimension = 'total' and ordered.value <> ''
                then 'value is not empty, but the dimension is total'
                when ordered.dimension <> 'total' and ordered.value = ''
                then 'value is empty'
                when ordered.amount_usd is null or ordered.amount_usd < 0
                then 'amount_usd is empty or negative'
                when ordered.warning_share < 0 or ordered.warning_share > 1
                then 'warning_share is not from 0 to 1'
                when ordered.first_date >= ordered.end_date
                then 'valid_to is not after valid_from'
                when ordered.earlier_end_date > ordered.first_date
                then 'an earlier row of the same budget_id is still valid on valid_from'
            end as problem
        from ordered
    )

select budget_id, valid_from, problem
from checked
where problem is not null
