select
    usage_date,
    provider,
    model,
    requests,
    compared_requests,
    differing_requests,
    faulty_requests,
    compared_reported_cost_usd,
    compared_computed_cost_usd,
    cast(compared_reported_cost_usd - compared_computed_cost_usd as {{ data_type("money") }}) as difference_usd
from {{ ref("tokenmart", "daily_costs_by_model") }}
where reported_cost_usd is not null
