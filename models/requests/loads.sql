{{ table_layout(lookups=["load_id"]) }}

-- depends_on: {{ ref('tokenmart', 'build_settings') }} {{ ref('tokenmart', 'stg_usage__events') }}
{% do check_variables() %}
{% do refuse_mixed_requests() %}
with

    complete as (select load_id from {{ source("tokenmart", "_dlt_loads") }} where status = 0),

    {% if is_incremental() %}
        settled as ({{ settled_loads(this) }}),

        processed as (select load_id from {{ this }} where {{ is_processed() }}),
    {% endif %}

    current_batch as (select cast({{ current_batch_id() }} as {{ data_type("count") }}) as batch_id)

select
    complete.load_id,
    current_batch.batch_id,
    {% if is_incremental() %}
        case
            when complete.load_id in (select load_id from processed) then 'repairing' else 'processing'
        end as load_status
    {% else %} 'processing' as load_status
    {% endif %}
from complete
cross join current_batch
{% if is_incremental() %} where complete.load_id not in (select load_id from settled) {% endif %}
