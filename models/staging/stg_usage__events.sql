with

    events as (
        select *, {{ utc_timestamp("occurred_at") }} as occurred_at_utc
        from {{ source("tokenmart", "events") }}
        where _dlt_load_id in (select load_id from {{ source("tokenmart", "_dlt_loads") }} where status = 0)
    ),

    running_totals as (select * from {{ ref("tokenmart", "stg_usage__running_totals") }})

select
    cast(events.event_id as {{ data_type("key") }}) as event_id,
    events.occurred_at_utc as occurred_at,
    {{ local_period("day", "events.occurred_at_utc") }} as usage_date,
    {{ local_period("hour", "events.occurred_at_utc") }} as usage_hour,
    cast(coalesce(events.time_basis, 'reported') as {{ data_type("label") }}) as time_basis,

    cast(events.provider as {{ data_type("label") }}) as provider,
    cast(events.model as {{ data_type("label") }}) as model,
    cast(events.requested_model as {{ data_type("label") }}) as requested_model,
    cast(events.region as {{ data_type("label") }}) as region,
    cast(events.service_tier as {{ data_type("label") }}) as service_tier,
    cast(events.operation as {{ data_type("label") }}) as operation,
    cast(events.endpoint as {{ data_type("label") }}) as endpoint,

    -- for a running total, use its increase over the previous total
    {% for column, type in cumulative_columns().items() %}
        cast(
            case
                when events.is_running_total then running_totals.{{ column }} else events.{{ column }}
            end as {{ data_type(type) }}
        ) as {{ column }},
    {% endfor %}
    -- no source has running totals of searches
    cast(events.web_search_requests as {{ data_type("bigint") }}) as web_search_requests,
    cast(events.token_convention as {{ data_type("label") }}) as token_convention,
    cast(coalesce(events.is_running_total, false) as {{ data_type("boolean") }}) as is_running_total,
    cast(events.snapshot_version as {{ data_type("bigint") }}) as snapshot_version,
    cast(coalesce(events.is_estimate, false) as {{ data_type("boolean") }}) as is_estimate,
    cast(coalesce(events.is_billed, true) as {{ data_type("boolean") }}) as is_billed,

    cast(events.duration_ms as {{ data_type("double") }}) as duration_ms,
    cast(events.time_to_first_token_ms as {{ data_type("double") }}) as time_to_first_token_ms,
    cast(events.status as {{ data_type("label") }}) as status,
    cast(events.error_type as {{ data_type("label") }}) as error_type,
    cast(events.error_message as {{ data_type("text") }}) as error_message,

    cast(events.user_id as {{ data_type("text") }}) as user_id,
    cast(events.session_id as {{ data_type("text") }}) as session_id,
    cast(events.organization_id as {{ data_type("label") }}) as organization_id,
    cast(events.team as {{ data_type("label") }}) as team,
    cast(events.project as {{ data_type("label") }}) as project,
    cast(events.cost_center as {{ data_type("label") }}) as cost_center,
    cast(events.app_name as {{ data_type("label") }}) as app_name,
    cast(events.environment as {{ data_type("label") }}) as environment,
    cast(events.feature as {{ data_type("label") }}) as feature,
    cast(events.page as {{ data_type("label") }}) as page,
    cast(events.component as {{ data_type("label") }}) as component,

    cast(events.request_id as {{ data_type("text") }}) as request_id,
    cast(events.trace_id as {{ data_type("text") }}) as trace_id,
    cast(events.span_id as {{ data_type("text") }}) as span_id,
    cast(events.parent_span_id as {{ data_type("text") }}) as parent_span_id,
    cast(events.tags as {{ data_type("text") }}) as tags,

    cast(events.source_format as {{ data_type("label") }}) as source_format,
    {{ utc_timestamp("events.loaded_at") }} as loaded_at,
    cast(events._dlt_load_id as {{ data_type("key") }}) as load_id
from events
left join running_totals on events.event_id = running_totals.event_id
