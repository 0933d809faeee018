-- The six parts of a computed cost add up to the computed cost.
select event_id
from {{ ref("tokenmart", "llm_requests") }}
where
    {{ is_tested() }}
    and (
        computed_cost_usd
        <> input_cost_usd
        + cache_read_cost_usd
        + cache_write_cost_usd
        + output_cost_usd
        + request_cost_usd
        + web_search_cost_usd
    )
