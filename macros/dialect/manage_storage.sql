{# Post-hook of a table of requests, for warehouses with chunks by `time`: compresses, drops or aggregates them. #}
{% macro manage_storage(time) %}
    {% if is_written() %} {{ adapter.dispatch("manage_storage")(time) }} {% endif %}
{% endmacro %}

{% macro default__manage_storage(time) %} {% endmacro %}
