{#
A condition on stg_usage__events for the rows that a run reads: the events of these loads and all running totals of their
sessions, because a total that arrives late changes the increase of the next total.
#}
{% macro new_events_filter(loads) %}
    {% if not loads %} {% do return("1 = 0") %} {% endif %}
    {% set is_new = "load_id in (" ~ quoted_list(loads) ~ ")" %}
    {% set sessions %}
        select coalesce(session_id, '') from {{ ref("tokenmart", "stg_usage__events") }} where is_running_total and {{ is_new }}
    {% endset %}
    {% if query_column(sessions ~ " limit 1") %}
        {% do return(
            "(" ~ is_new ~ " or (is_running_total and coalesce(session_id, '') in (" ~ sessions | trim ~ ")))"
        ) %}
    {% endif %}
    {% do return(is_new) %}
{% endmacro %}
