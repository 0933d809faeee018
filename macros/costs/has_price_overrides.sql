{#
Whether price_overrides has rows. Without rows, the requests are not compared with them: some warehouses would compute the list
prices several times.
#}
{% macro has_price_overrides() %}
    {% set overrides = user_seed("price_overrides") %}
    {# while dbt parses, in a unit test, and without a connection, there is no table to ask #}
    {% if not execute or model.resource_type == "unit_test" or not flags.INTROSPECT %} {% do return(true) %} {% endif %}
    {% if invocation_args_dict.get("empty") or not load_relation(overrides) %} {% do return(false) %} {% endif %}
    {% do return(query_column("select override_id from " ~ overrides ~ " limit 1") | length > 0) %}
{% endmacro %}
