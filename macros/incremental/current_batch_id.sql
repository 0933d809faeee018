{#
The number of this run: microseconds since 1970, and always greater than those of earlier runs and undos, even if the clock
goes back or theirs was ahead. All models of a run get the same number.
#}
{% macro current_batch_id() %}
    {% set now = (run_started_at.timestamp() * 1000000) | int %}
    {% set loads = existing_relation("loads") if not flags.FULL_REFRESH else none %}
    {# what this run has begun does not count, so that its number stays the same #}
    {% set query = "select max(batch_id) from " ~ loads ~ " where load_status in ('processed', 'repaired')" %}
    {% set last = (query_column(query) | first or 0) | int if loads else 0 %}
    {% do return([now, last + 1, undone_batch_id() + 1] | max) %}
{% endmacro %}
