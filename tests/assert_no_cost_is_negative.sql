-- No cost is negative. Wrong token counts in a log can cause a negative cost.
-- The test only warns, because the error is in the log.
{{ config(severity="warn") }}
select event_id
from {{ ref("tokenmart", "llm_requests") }}
where
    {{ is_tested() }}
    and (
        cost_usd < 0 or input_cost_usd < 0 or cache_read_cost_usd < 0 or cache_write_cost_usd < 0 or output_cost_usd < 0
    )
