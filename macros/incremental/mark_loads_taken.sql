{# Post-hook of llm_requests: the loads that were new when this run began are in it now. #}
{% macro mark_loads_taken() %}
    {%- if execute and not invocation_args_dict.get("empty") -%}
        insert into {{ ref('loads') }} (load_id, batch_id)
        select load_id, {{ this_batch() }} from {{ ref('loads') }} group by load_id having max(batch_id) = 0
    {%- endif -%}
{% endmacro %}
