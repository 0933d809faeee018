-- The four parts of a computed cost are the computed cost, and a cost is never negative.
select event_id
from {{ ref("llm_requests") }}
where
    computed_cost_usd <> input_cost_usd + cache_read_cost_usd + cache_write_cost_usd + output_cost_usd
    or cost_usd < 0
    or input_cost_usd < 0
    or cache_read_cost_usd < 0
    or cache_write_cost_usd < 0
    or output_cost_usd < 0
