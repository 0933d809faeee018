{#
Post-hook of llm_requests: in a run that repairs loads, deletes rows that two runs have doubled, for warehouses whose incremental
strategy updates such rows instead of replacing them.
#}
{% macro delete_doubled_requests() %}
    {% if is_hook_run() %} {{ adapter.dispatch("delete_doubled_requests")() }} {% endif %}
{% endmacro %}

{% macro default__delete_doubled_requests() %} {% endmacro %}
