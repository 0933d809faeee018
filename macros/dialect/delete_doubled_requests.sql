{#
Post-hook of llm_requests: deletes rows that two runs have doubled, for warehouses whose incremental strategy updates such rows
instead of replacing them. Only a run that repairs loads has any.
#}
{% macro delete_doubled_requests() %}
    {% if is_hook_run() and current_load_ids(current_batch_id(), "repairing") %}
        {{ adapter.dispatch("delete_doubled_requests")() }}
    {% endif %}
{% endmacro %}

{% macro default__delete_doubled_requests() %} {% endmacro %}
