{# A column of the table that an incremental run writes to, as its delete or merge statement names it. #}
{% macro target_column(name) %} {{ adapter.dispatch("target_column")(name) }}{% endmacro %}

{% macro default__target_column(name) %} {{ name }}{% endmacro %}
