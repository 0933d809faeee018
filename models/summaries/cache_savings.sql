select
    usage_date,
    provider,
    model,
    requests,
    input_tokens,
    cache_read_tokens,
    cache_write_tokens,
    cache_read_cost_usd,
    cache_write_cost_usd,
    cost_without_cache_usd,
    computed_cost_usd,
    cast(cost_without_cache_usd - computed_cost_usd as {{ data_type("money") }}) as cache_savings_usd
from {{ ref("tokenmart", "daily_costs_by_model") }}
where cache_read_tokens > 0 or cache_write_tokens > 0
