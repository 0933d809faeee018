{#
The number of this run: microseconds since 1970, and always greater than those of earlier runs and undos, even if the clock
goes back or theirs was ahead.
#}
{% macro this_batch() %}
    {% set now = (run_started_at.timestamp() * 1000000) | int %}
    {% set last = (
        (first_column("select max(batch_id) from " ~ ref("tokenmart", "loads")) | first or 0) | int
        if execute and is_incremental()
        else 0
    ) %}
    {% do return([now, last + 1, undone_batch() + 1] | max) %}
{% endmacro %}
