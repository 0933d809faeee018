{{ table_layout(lookups=["load_id"]) }}

select load_id, cast(0 as {{ data_type("count") }}) as batch_id
from {{ source("tokenmart", "_dlt_loads") }}
where status = 0 {% if is_incremental() %} and load_id not in (select load_id from {{ this }}) {% endif %}
