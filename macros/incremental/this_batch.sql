{# The number of this run: microseconds since 1970, and always greater than that of earlier runs, even if the clock goes back. #}
{% macro this_batch() %}
    {% set now = (run_started_at.timestamp() * 1000000) | int %}
    {% set last = (
        (first_column("select max(batch_id) from " ~ ref("tokenmart", "loads"))[0] or 0) | int
        if execute and is_incremental()
        else 0
    ) %}
    {% do return([now, last + 1] | max) %}
{% endmacro %}
