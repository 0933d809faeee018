-- Two formats that report requests of the same application and model on the same day may report the same requests, for
-- example the transcripts and the OpenTelemetry events of Claude Code. Then the requests count twice.
{{ config(severity="warn") }}

select
    usage_date,
    app_name,
    canonical_model,
    min(source_format) as first_format,
    max(source_format) as last_format,
    count(*) as requests
from {{ ref("tokenmart", "llm_requests") }}
where app_name is not null and {{ is_tested() }}
group by usage_date, app_name, canonical_model
having min(source_format) <> max(source_format)
