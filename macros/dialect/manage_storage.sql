{# A post-hook of a table of requests, for warehouses that keep it in pieces of `time`: pack, drop or sum them up. #}
{% macro manage_storage(time) %} {{ adapter.dispatch("manage_storage")(time) }}{% endmacro %}

{% macro default__manage_storage(time) %} {% endmacro %}
