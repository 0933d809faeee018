{#
Post-hook of llm_requests: marks the loads that it has read. Their ids are kept in its config, because another run may
have listed more since; a table that was created again has read all listed loads.
#}
{% macro mark_loads_taken() %}
    {%- if is_written() and not invocation_args_dict.get("empty") -%}
        {%- set loads = config.get("meta").get("new_loads") -%}
        insert into {{ ref('tokenmart', 'loads') }} (load_id, batch_id)
        select load_id, case when max(batch_id) = 0 then {{ this_batch() }} else - max(batch_id) end
        from {{ ref('tokenmart', 'loads') }}
        {% if loads is not none %} where load_id in ({{ literals(loads) }}) {% endif %}
        group by load_id
        having {{ is_to_be_taken() }}
    {%- endif -%}
{% endmacro %}
