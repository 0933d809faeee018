{#
The columns that stg_usage__events and llm_requests have in common. The order of `measures` is the order in which they decide
which snapshot of a request is more complete.
#}
{% macro request_columns() %}
    {% set columns = {
        "times": ["event_id", "occurred_at", "usage_date", "usage_hour", "time_basis"],
        "texts": [
            "provider",
            "model",
            "requested_model",
            "region",
            "service_tier",
            "operation",
            "endpoint",
            "token_convention",
            "status",
            "error_type",
            "error_message",
            "user_id",
            "session_id",
            "organization_id",
            "team",
            "project",
            "cost_center",
            "app_name",
            "environment",
            "feature",
            "page",
            "component",
            "request_id",
            "trace_id",
            "span_id",
            "parent_span_id",
            "tags",
            "source_format",
        ],
        "measures": [
            "snapshot_version",
            "output_tokens",
            "input_tokens",
            "reported_cost_usd",
            "duration_ms",
            "cache_read_tokens",
            "cache_write_tokens",
            "cache_write_1h_tokens",
            "reasoning_tokens",
            "web_search_requests",
            "time_to_first_token_ms",
            "water_ml",
            "energy_wh",
        ],
        "others": ["is_running_total", "is_estimate", "is_billed", "loaded_at", "load_id"],
    } %}
    {% do columns.update(all=columns.times + columns.texts + columns.measures + columns.others) %}
    {% do return(columns) %}
{% endmacro %}
