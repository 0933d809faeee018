{#
Ids of the loads that the run with this number processes or repairs: those that the model `loads` has listed for it, all or
only those with this status.
#}
{% macro current_load_ids(batch, status=none) %}
    {% set query %}
        select load_id from {{ ref("tokenmart", "loads") }}
        where batch_id = {{ batch }} and load_status in ({{ quoted_list([status] if status else ["processing", "repairing"]) }})
        order by load_id
    {% endset %}
    {% do return(query_column(query)) %}
{% endmacro %}
