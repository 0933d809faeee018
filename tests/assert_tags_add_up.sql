-- The weights and shares of all tags of a day add up to its requests and their cost, to the last digit. An audit also
-- checks the rows of each tag.
with

    days as (
        select usage_date, count(*) as requests, sum(cost_usd) as cost_usd
        from {{ without_dependency("llm_requests") }}
        where {{ is_tested() }}
        group by usage_date
    ),

    found as (
        select usage_date, sum(tag_weight) as requests, sum(allocated_cost_usd) as cost_usd
        from {{ ref("tokenmart", "request_tags") }}
        where {{ is_tested() }}
        group by usage_date
        -- daily_costs_by_tag reads all requests
        {% if tested_dates() is none %}
            union all
            select usage_date, sum(requests) as requests, sum(cost_usd) as cost_usd
            from {{ ref("tokenmart", "daily_costs_by_tag") }}
            where tag_key <> 'unattributed'
            group by usage_date, tag_key
        {% endif %}
    )

select days.usage_date
from days
left join found on days.usage_date = found.usage_date
where days.requests is distinct from found.requests or days.cost_usd is distinct from found.cost_usd
