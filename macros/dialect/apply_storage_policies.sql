{#
Post-hook of a table of requests, for warehouses with chunks by `time` or with expiring rows: sets how they are compressed,
dropped or aggregated.
#}
{% macro apply_storage_policies(time) %}
    {% if is_hook_run() %} {{ adapter.dispatch("apply_storage_policies")(time) }} {% endif %}
{% endmacro %}

{% macro default__apply_storage_policies(time) %} {% endmacro %}
