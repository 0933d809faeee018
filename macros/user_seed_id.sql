{# The id of the seed that `user_seed(name)` reads. Raises a compiler error if there is no such seed. #}
{% macro user_seed_id(name) %}
    {# the graph is empty while dbt parses #}
    {% if var(name) is none or not execute %} {% do return("seed.tokenmart." ~ name) %} {% endif %}
    {% for node in graph.nodes.values() if node.resource_type == "seed" and node.name == var(name) %}
        {% do return(node.unique_id) %}
    {% endfor %}
    {% do exceptions.raise_compiler_error(
        "The variable " ~ name ~ " names " ~ var(name) ~ ", which is not a seed of this project."
    ) %}
{% endmacro %}
