-- No cost is negative: tokens that no log should report make one, which is reported, and stops nothing.
{{ config(severity="warn") }}
select event_id
from {{ ref("tokenmart", "llm_requests") }}
where
    {{ is_tested() }}
    and (
        cost_usd < 0 or input_cost_usd < 0 or cache_read_cost_usd < 0 or cache_write_cost_usd < 0 or output_cost_usd < 0
    )
