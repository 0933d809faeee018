{#
Ids of the loads that llm_requests has to read: new ones (not with `is_taken_twice`), and those that two runs have read
at the same time, so that their duplicate rows are replaced.
#}
{% macro new_loads(is_taken_twice=false) %}
    {% set query %}
        select load_id from {{ ref("tokenmart", "loads") }}
        group by load_id
        having {{ is_to_be_taken() }} {% if is_taken_twice %} and max(batch_id) > 0 {% endif %}
        order by load_id
    {% endset %}
    {% do return(first_column(query)) %}
{% endmacro %}
