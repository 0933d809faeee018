{# What the target calls one of the contract's types: text, date, timestamp (UTC), bigint, double, boolean, money, price. #}
{% macro data_type(name) %} {{ return(var("types")[name][target.type]) }}{% endmacro %}
