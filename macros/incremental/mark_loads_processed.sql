{# Post-hook of llm_requests: marks the loads of this run as processed or repaired. #}
{% macro mark_loads_processed() %}
    {%- if is_hook_run() and not invocation_args_dict.get("empty") -%}
        {%- set loads = existing_relation("loads") -%}
        insert into {{ loads }} (load_id, batch_id, load_status)
        select load_id, batch_id, case when load_status = 'repairing' then 'repaired' else 'processed' end
        from {{ loads }}
        where batch_id = {{ current_batch_id() }} and load_status in ('processing', 'repairing')
    {%- endif -%}
{% endmacro %}
