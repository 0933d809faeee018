{#
The newest row of build_settings, as a dictionary; refresh_batch_id is the batch_id of the last full refresh. None if there is
no row.
#}
{% macro recorded_settings() %}
    {% set names = current_settings().keys() | list + ["retention_days", "batch_id"] %}
    {% set stored = existing_relation("build_settings") %}
    {% set query = "select " ~ names | join(", ") ~ " from " ~ stored ~ " order by batch_id" %}
    {% set found = run_query(query) if stored else none %}
    {% if not found or not found.rows | length %} {% do return(none) %} {% endif %}
    {% set newest, settings = found.rows | last, {} %}
    {% for name in names %} {% do settings.update({name: newest[loop.index0]}) %} {% endfor %}
    {# the full refresh wrote the oldest row #}
    {% do settings.update(refresh_batch_id=(found.rows | first | last) | int) %}
    {% do return(settings) %}
{% endmacro %}
