{#
Stops an incremental run, before it lists any loads, if stored requests would not match new ones, should have been deleted, or
are missing. Only a full refresh can correct them.
#}
{% macro refuse_stale_requests() %}
    {# a unit test has no stored requests to compare #}
    {% set is_unit_test = model.resource_type == "unit_test" %}
    {% if is_unit_test or invocation_args_dict.get("empty") or flags.WHICH not in ["build", "run"] %}
        {% do return("") %}
    {% endif %}
    {% set requests = existing_relation("llm_requests") %}
    {% if not requests %} {% do return("") %} {% endif %}
    {% set recorded = recorded_settings() %}
    {# min() of no rows is NULL in some warehouses and 0 in others #}
    {% set oldest = (
        query_column("select min(batch_id) from " ~ requests) | first
        or (recorded.refresh_batch_id if recorded else 0)
    ) | int %}
    {% set reason = (
        stale_by_undone_loads(recorded, oldest)
        or stale_by_version(recorded, oldest)
        or stale_by_settings(recorded)
        or stale_by_retention(recorded, requests)
    ) %}
    {% if reason %}
        {% do exceptions.raise_compiler_error(
            reason
            ~ " Rebuild everything: tokenmart build --full-refresh (with plain dbt: dbt build --full-refresh)."
        ) %}
    {% endif %}
{% endmacro %}
