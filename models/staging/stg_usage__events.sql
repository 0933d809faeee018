with

    events as (
        select *, {{ utc_timestamp("occurred_at") }} as occurred_at_utc
        from {{ source("raw_usage", "events") }}
        where _dlt_load_id in (select load_id from {{ source("raw_usage", "_dlt_loads") }} where status = 0)
    ),

    running_totals as (select * from {{ ref("stg_usage__running_totals") }})

select
    events.event_id,
    events.occurred_at_utc as occurred_at,
    cast({{ local_timestamp("events.occurred_at_utc") }} as {{ data_type("date") }}) as usage_date,
    date_trunc('hour', {{ local_timestamp("events.occurred_at_utc") }}) as usage_hour,

    events.provider,
    events.model,
    events.requested_model,
    events.region,
    events.service_tier,
    events.operation,
    events.endpoint,

    -- a running total counts with what it adds to the one before it
    {% for column in counted_columns() %}
        case when events.is_running_total then running_totals.{{ column }} else events.{{ column }} end as {{ column }},
    {% endfor %}
    events.token_convention,
    coalesce(events.is_running_total, false) as is_running_total,
    coalesce(events.is_estimate, false) as is_estimate,

    events.duration_ms,
    events.time_to_first_token_ms,
    events.status,
    events.error_type,
    events.error_message,

    events.user_id,
    events.session_id,
    events.organization_id,
    events.team,
    events.project,
    events.cost_center,
    events.app_name,
    events.environment,
    events.feature,
    events.page,
    events.component,

    events.request_id,
    events.trace_id,
    events.span_id,
    events.parent_span_id,
    events.tags,

    events.source_format,
    {{ utc_timestamp("events.loaded_at") }} as loaded_at,
    events._dlt_load_id as load_id
from events
left join running_totals on events.event_id = running_totals.event_id
