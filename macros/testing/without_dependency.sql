{#
SQL for a model or source of this project, for a test that compares with it. A test that uses ref for two models is selected
with either of them, and fails if the other is missing, disabled or not built in this run. Under `dbt --empty` the relation is
empty, like every ref.
#}
{% macro without_dependency(name) %}
    {% if not execute %} {% do return(name) %} {% endif %}
    {% set node = graph.nodes.get("model.tokenmart." ~ name) or graph.sources.get(
        "source.tokenmart.tokenmart." ~ name
    ) %}
    {% if invocation_args_dict.get("empty") %}
        {% do return("(select * from " ~ node.relation_name ~ " where 1 = 0) as " ~ name) %}
    {% endif %}
    {% do return(node.relation_name) %}
{% endmacro %}
