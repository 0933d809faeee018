{# A post-hook of a table of requests, for warehouses that keep it in pieces of `time`: pack, drop or sum them up. #}
{% macro manage_storage(time) %}
    {% if is_written() %} {{ adapter.dispatch("manage_storage")(time) }} {% endif %}
{% endmacro %}

{% macro default__manage_storage(time) %} {% endmacro %}
