{# Ids of the loads that llm_requests has not taken yet. #}
{% macro new_loads() %}
    {% do return(
        first_column(
            "select load_id from "
            ~ ref("loads")
            ~ " group by load_id having max(batch_id) = 0 order by load_id"
        )
    ) %}
{% endmacro %}

{# The number of this run: microseconds since 1970, and always more than the runs before it, whatever the clock says. #}
{% macro this_batch() %}
    {% set now = (run_started_at.timestamp() * 1000000) | int %}
    {% set last = (
        (first_column("select max(batch_id) from " ~ ref("loads"))[0] or 0) | int
        if execute and is_incremental()
        else 0
    ) %}
    {% do return([now, last + 1] | max) %}
{% endmacro %}

{# Post-hook of llm_requests: the loads that were new when this run began are in it now. #}
{% macro mark_loads_taken() %}
    {%- if execute and not invocation_args_dict.get("empty") -%}
        insert into {{ ref('loads') }} (load_id, batch_id)
        select load_id, {{ this_batch() }} from {{ ref('loads') }} group by load_id having max(batch_id) = 0
    {%- endif -%}
{% endmacro %}

{#
What of stg_usage__events a run looks at: the rows of these loads, and where they bring running totals, all rows of those
sessions, because a total that arrives late changes what the next one added.
#}
{% macro is_delivered_by(loads) %}
    {% if not loads %} {% do return("1 = 0") %} {% endif %}
    {% set is_new = "load_id in ('" ~ loads | join("', '") ~ "')" %}
    {% set sessions %}
        select coalesce(session_id, '') from {{ ref("stg_usage__events") }} where is_running_total and {{ is_new }}
    {% endset %}
    {% if first_column(sessions ~ " limit 1") %}
        {% do return(
            "(" ~ is_new ~ " or (is_running_total and coalesce(session_id, '') in (" ~ sessions | trim ~ ")))"
        ) %}
    {% endif %}
    {% do return(is_new) %}
{% endmacro %}

{# The days of delivered events, and of the requests in {{ this }} that they are seen again of. #}
{% macro days_to_write(is_delivered, is_again) %}
    {% set days = days_of("select distinct usage_date from " ~ ref("stg_usage__events") ~ " where " ~ is_delivered) %}
    {% set near = (
        " and " ~ in_days(days_around(days, var("late_data_days")))
        if var("late_data_days") is not none
        else ""
    ) %}
    {% do return(
        (days + days_of("select distinct usage_date from " ~ this ~ " where " ~ is_again ~ near))
        | unique
        | sort
        | list
    ) %}
{% endmacro %}

{# Bounds the delete or merge that follows by a predicate. dbt hands out the configured list itself, so it is seen there. #}
{% macro bound_writes(predicate) %}
    {% set predicates = config.get("incremental_predicates") %}
    {% if execute %} {% do predicates.clear() %} {% do predicates.append(predicate) %} {% endif %}
{% endmacro %}
