{#
Stops a run, before it lists any loads, if stored requests would not match new ones, should have been deleted, or are missing.
Only a full refresh can correct them, or if prices have changed, a run of all seeds and models.
#}
{% macro refuse_mixed_requests() %}
    {# a unit test has no stored requests to compare #}
    {% set is_unit_test = model.resource_type == "unit_test" %}
    {% if is_unit_test or invocation_args_dict.get("empty") or flags.WHICH not in ["build", "run"] %}
        {% do return("") %}
    {% endif %}
    {% if should_full_refresh() %} {% do return("") %} {% endif %}
    {% set recorded, requests = recorded_settings(), existing_relation("llm_requests") %}
    {% set reason = (
        full_refresh_reason_rows(recorded, requests)
        or full_refresh_reason_settings(recorded)
        or full_refresh_reason_retention(recorded, requests)
    ) %}
    {% if reason %}
        {% do exceptions.raise_compiler_error(
            reason
            ~ " Rebuild everything: tokenmart build --full-refresh (with plain dbt: dbt build --full-refresh)."
        ) %}
    {% elif requests and changed_prices(recorded) and not is_repricing() %}
        {% do exceptions.raise_compiler_error(
            "Since the requests were built, the prices in the folder seeds or cost_preference have changed. Apply them: tokenmart build (with plain dbt: dbt build, with all models and seeds)."
        ) %}
    {% endif %}
{% endmacro %}
