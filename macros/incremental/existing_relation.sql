{# The table of a model or source of this project from earlier runs; None if it does not exist. It adds no dependency. #}
{% macro existing_relation(name) %}
    {% if not execute %} {% do return(none) %} {% endif %}
    {% set node = graph.nodes.get("model.tokenmart." ~ name) or graph.sources["source.tokenmart.tokenmart." ~ name] %}
    {% do return(adapter.get_relation(node.database, node.schema, node.alias or node.identifier)) %}
{% endmacro %}
