{# Ids of the loads that the run with this number processes or repairs: those that the model `loads` has listed for it. #}
{% macro current_load_ids(batch, statuses=["processing", "repairing"]) %}
    {% set query %}
        select load_id from {{ ref("tokenmart", "loads") }}
        where batch_id = {{ batch }} and status in ({{ quoted_list(statuses) }})
        order by load_id
    {% endset %}
    {% do return(query_column(query)) %}
{% endmacro %}
