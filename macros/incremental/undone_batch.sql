{# The number of the newest undo, which is comparable with the numbers of runs; 0 if nothing was undone. #}
{% macro undone_batch() %}
    {% if not execute %} {% do return(0) %} {% endif %}
    {% set source = graph.sources["source.tokenmart.tokenmart.undone_loads"] %}
    {% set undone = adapter.get_relation(source.database, source.schema, source.identifier) %}
    {% do return((first_column("select max(batch_id) from " ~ undone) | first or 0) | int if undone else 0) %}
{% endmacro %}
