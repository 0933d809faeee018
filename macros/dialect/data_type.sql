{# The target warehouse's name for one of the contract types (variable types in dbt_project.yml). #}
{% macro data_type(name) %} {{ return(var("types")[name][target.type]) }}{% endmacro %}
