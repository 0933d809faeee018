{#
The batch_id of this run: microseconds since 1970. It is always greater than the batch_id of earlier runs and undos, even if
this clock is behind or their clocks were ahead. All models of a run get the same batch_id.
#}
{% macro current_batch_id() %}
    {% set now = (run_started_at.timestamp() * 1000000) | int %}
    {% set loads = existing_relation("loads") if not flags.FULL_REFRESH else none %}
    {# loads that this run has not finished are left out, so that its batch_id stays the same #}
    {% set query = "select max(batch_id) from " ~ loads ~ " where load_status in ('processed', 'repaired')" %}
    {% set last = (query_column(query) | first or 0) | int if loads else 0 %}
    {% do return([now, last + 1, undone_batch_id() + 1] | max) %}
{% endmacro %}
