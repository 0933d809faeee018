-- No part of a token count exceeds its whole, and no count is negative.
-- The test only warns, because the error is in the log.
{{ config(severity="warn") }}
select event_id
from {{ ref("tokenmart", "llm_requests") }}
where
    {{ is_tested() }}
    and (
        input_tokens < coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0)
        or coalesce(cache_write_tokens, 0) < cache_write_1h_tokens
        or output_tokens < reasoning_tokens
        or input_tokens < 0
        or cache_read_tokens < 0
        or cache_write_tokens < 0
        or cache_write_1h_tokens < 0
        or output_tokens < 0
        or reasoning_tokens < 0
    )
