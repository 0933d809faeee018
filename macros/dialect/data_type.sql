{# What the target calls one of the contract's types (var types in dbt_project.yml). #}
{% macro data_type(name) %} {{ return(var("types")[name][target.type]) }}{% endmacro %}
