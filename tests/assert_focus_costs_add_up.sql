-- The charges of each day add up to the cost of its requests, to the last digit, in each of the four costs.
with

    charged as (
        select
            x_usage_date,
            {% for cost in ["billed_cost", "contracted_cost", "effective_cost", "list_cost"] %}
                sum({{ cost }}) as {{ cost }}{{ "," if not loop.last }}
            {% endfor %}
        from {{ ref("tokenmart", "focus_costs") }}
        where {{ is_tested("x_usage_date") }}
        group by x_usage_date
    ),

    requests as (
        select usage_date, sum(cost_usd) as cost_usd
        from {{ without_dependency("llm_requests") }}
        where {{ is_tested() }}
        group by usage_date
    )

select requests.usage_date
from requests
left join charged on requests.usage_date = charged.x_usage_date
where
    {% for cost in ["billed_cost", "contracted_cost", "effective_cost", "list_cost"] %}
        -- a day may have no charges, because none of its requests has a cost
        coalesce(charged.{{ cost }}, 0) <> coalesce(requests.cost_usd, 0) {{ "or" if not loop.last }}
    {% endfor %}
union all
select charged.x_usage_date
from charged
where charged.x_usage_date not in (select usage_date from requests)
