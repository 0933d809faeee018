{# The batch_id of the newest undo, which can be compared with the batch_id of runs; 0 if nothing was undone. #}
{% macro undone_batch_id() %}
    {% set undone = existing_relation("undone_loads") %}
    {% do return((query_column("select max(batch_id) from " ~ undone) | first or 0) | int if undone else 0) %}
{% endmacro %}
