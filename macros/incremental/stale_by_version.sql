{#
The reason for a full refresh if rows of llm_requests may not match the recorded settings: no settings are recorded, or rows are
older than the record. This happens after an upgrade or an interrupted full refresh. Otherwise None.
#}
{% macro stale_by_version(recorded, oldest) %}
    {% set is_stale = not recorded or oldest < recorded.refresh_batch_id %}
    {% do return(
        "The requests were built by an earlier version, or their last full refresh did not finish."
        if is_stale
        else none
    ) %}
{% endmacro %}
