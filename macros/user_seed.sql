{#
The relation with rows that users write: the seed or model of the user's project that the variable `name` names, or Tokenmart's own
seed of this name.
#}
{% macro user_seed(name) %}
    {% set own = var(name) %}
    {% do return(ref(project_name, own) if own is string and own else ref("tokenmart", name)) %}
{% endmacro %}
