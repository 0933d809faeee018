{#
Whether this run gives stored requests their cost again, because prices or the preference have changed. The run must include the
changed price lists and every model from affected_dates to llm_requests.
#}
{% macro is_repricing() %}
    {% if not execute or invocation_args_dict.get("empty") %} {% do return(false) %} {% endif %}
    {% set needed = ["model.tokenmart.affected_dates", "model.tokenmart.llm_requests"] %}
    {% set changed = changed_prices(recorded_settings()) %}
    {% if "model_prices" in changed %} {% set needed = needed + price_seeds() %} {% endif %}
    {% do return(changed | length > 0 and needed | reject("in", selected_resources) | list | length == 0) %}
{% endmacro %}
