{#
The relation with rows that users write: the seed that the variable `name` names, in a project with Tokenmart as a package, or
Tokenmart's own seed of this name.
#}
{% macro user_seed(name) %}
    {% do return(ref(var(name)) if var(name) is not none else ref("tokenmart", name)) %}
{% endmacro %}
