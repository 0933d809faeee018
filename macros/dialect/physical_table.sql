{# The table to delete rows of {{ this }} from, for warehouses that store the rows in another table. #}
{% macro physical_table() %} {{ adapter.dispatch("physical_table")() }}{% endmacro %}

{% macro default__physical_table() %} {{ this }}{% endmacro %}
