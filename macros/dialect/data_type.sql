{# The target's name for one of the contract types (var types in dbt_project.yml). #}
{% macro data_type(name) %} {{ return(var("types")[name][target.type]) }}{% endmacro %}
