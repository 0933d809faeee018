{#
The batch_id of this run: microseconds since 1970. It is greater than the batch_id of every earlier run that has processed loads or
recorded settings, and of every undo, even if this clock is behind or theirs were ahead. In a full refresh it is greater than those
of all undos.

If this clock is right, it stays the same for the whole run, even if another run ends in the meantime: its loads have it then.
Otherwise it stays the same until mark_loads_processed has run, so models and hooks after that read the batch_id of the requests.
#}
{% macro current_batch_id() %}
    {% set now = (run_started_at.timestamp() * 1000000) | int %}
    {% set loads = existing_relation("loads") if not flags.FULL_REFRESH else none %}
    {# loads that this run has not finished are left out, so that its batch_id stays the same #}
    {% set query %}
        select
            case
                when sum(case when batch_id = {{ now }} then 1 else 0 end) > 0
                then -1
                else max(case when {{ is_processed() }} then batch_id end)
            end
        from {{ loads }}
    {% endset %}
    {% set last = (query_column(query) | first or 0) | int if loads else 0 %}
    {% if last == -1 %} {% do return(now) %} {% endif %}
    {% set batch = [now, last + 1, undone_batch_id() + 1] | max %}
    {# a run that has only applied prices has processed no loads, but it has recorded the settings #}
    {% set settings = existing_relation("build_settings") if not flags.FULL_REFRESH else none %}
    {% set recorded = (query_column("select max(batch_id) from " ~ settings) | first or 0) | int if settings else 0 %}
    {% do return(recorded + 1 if recorded > batch else batch) %}
{% endmacro %}
