{#
The reason why rows of llm_requests may not match the recorded settings: there is no record, or rows are older than the record,
as after an upgrade or an interrupted full refresh. None if all match.
#}
{% macro stale_by_version(recorded, oldest) %}
    {% set is_stale = not recorded or oldest < recorded.refresh_batch_id %}
    {% do return(
        "The requests were built by an earlier version, or their last full refresh did not finish."
        if is_stale
        else none
    ) %}
{% endmacro %}
