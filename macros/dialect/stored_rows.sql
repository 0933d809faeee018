{# The table to delete rows of {{ this }} from, for warehouses where that is another table. #}
{% macro stored_rows() %} {{ adapter.dispatch("stored_rows")() }}{% endmacro %}

{% macro default__stored_rows() %} {{ this }}{% endmacro %}
