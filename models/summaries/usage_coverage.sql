select
    usage_date,
    provider,
    model,
    requests,
    priced_requests,
    cast(priced_requests as {{ data_type("double") }}) / nullif(requests, 0) as priced_share,
    reported_requests,
    computed_requests,
    free_requests,
    not_billed_requests,
    unpriced_requests,
    unmetered_requests,
    vendor_priced_requests,
    standard_priced_requests,
    estimated_requests,
    undated_requests
from {{ ref("tokenmart", "daily_costs_by_model") }}
