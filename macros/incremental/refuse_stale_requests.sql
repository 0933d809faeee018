{#
Stops an incremental run of llm_requests if stored rows would not match new ones, or should not be there, or are missing.
Only a full refresh puts them right.
#}
{% macro refuse_stale_requests() %}
    {# a unit test has no stored rows to compare #}
    {% set is_stored = execute and model.resource_type != "unit_test" and not invocation_args_dict.get("empty") %}
    {% if not is_stored or flags.WHICH not in ["build", "run"] %} {% do return("") %} {% endif %}
    {% set recorded = recorded_settings() %}
    {# min() of no rows is NULL in some warehouses and 0 in others #}
    {% set oldest = (first_column("select min(batch_id) from " ~ this) | first or recorded.refresh_batch_id) | int %}
    {% set reason = (
        stale_by_undone_loads(recorded, oldest)
        or stale_by_version(recorded, oldest)
        or stale_by_retention(recorded)
        or stale_by_settings(recorded)
    ) %}
    {% if reason %}
        {% do exceptions.raise_compiler_error(
            reason
            ~ " Rebuild everything: tokenmart build --full-refresh (with plain dbt: dbt build --full-refresh)."
        ) %}
    {% endif %}
{% endmacro %}
