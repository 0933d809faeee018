{#
The ids of the loads that the run `batch` (its batch_id) processes or repairs, as listed in the model `loads`: all of them, or
only those with `status`.
#}
{% macro current_load_ids(batch, status=none) %}
    {% set query %}
        select load_id from {{ ref("tokenmart", "loads") }}
        where batch_id = {{ batch }} and load_status in ({{ quoted_list([status] if status else ["processing", "repairing"]) }})
        order by load_id
    {% endset %}
    {% do return(query_column(query)) %}
{% endmacro %}
