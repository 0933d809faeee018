{# The columns of llm_requests that say which model a request is of, and which prices and which cost count. #}
{% macro pricing_columns() %}
    {% do return(
        [
            "canonical_model",
            "model_family",
            "model_region",
            "price_id",
            "price_override_id",
            "price_basis",
            "priced_service_tier",
            "cost_basis",
            "reported_cost_fault",
        ]
    ) %}
{% endmacro %}
