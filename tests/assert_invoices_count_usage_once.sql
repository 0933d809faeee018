-- The rows of invoice_reconciliation have all requests and all costs of daily_costs_by_model, each once.
with

    compared as (
        select
            sum(requests) as requests,
            sum(unpriced_requests) as unpriced_requests,
            coalesce(sum(cost_usd), 0) as cost_usd
        from {{ ref("tokenmart", "invoice_reconciliation") }}
    ),

    daily as (
        select
            sum(requests) as requests,
            sum(unpriced_requests) as unpriced_requests,
            coalesce(sum(cost_usd), 0) as cost_usd
        from {{ without_dependency("daily_costs_by_model") }}
    )

select compared.requests, daily.requests as daily_requests, compared.cost_usd, daily.cost_usd as daily_cost_usd
from compared
cross join daily
where
    coalesce(compared.requests, 0) <> coalesce(daily.requests, 0)
    or coalesce(compared.unpriced_requests, 0) <> coalesce(daily.unpriced_requests, 0)
    or compared.cost_usd <> daily.cost_usd
