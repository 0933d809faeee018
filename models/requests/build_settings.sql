{{ table_layout(lookups=["batch_id"]) }}

{% set settings = current_settings() %}
with

    settings as (
        select
            cast('{{ settings.reporting_time_zone }}' as {{ data_type("key") }}) as reporting_time_zone,
            cast('{{ settings.cost_preference }}' as {{ data_type("key") }}) as cost_preference,
            cast('{{ settings.model_prices }}' as {{ data_type("key") }}) as model_prices,
            cast(
                {{ settings.approximate_percentiles | string | lower }} as {{ data_type("boolean") }}
            ) as approximate_percentiles,
            cast({{ settings.models_version }} as {{ data_type("count") }}) as models_version,
            cast(
                {{ "null" if var("retention_days") is none else var("retention_days") }} as {{ data_type("bigint") }}
            ) as retention_days,
            cast({{ 0 if is_incremental() else current_batch_id() }} as {{ data_type("count") }}) as batch_id
    )

select *
from settings
{% if is_incremental() %} where 1 = 0 {% endif %}
