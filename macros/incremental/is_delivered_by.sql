{#
What of stg_usage__events a run looks at: the rows of these loads, and where they bring running totals, all rows of those
sessions, because a total that arrives late changes what the next one added.
#}
{% macro is_delivered_by(loads) %}
    {% if not loads %} {% do return("1 = 0") %} {% endif %}
    {% set is_new = "load_id in (" ~ literals(loads) ~ ")" %}
    {% set sessions %}
        select coalesce(session_id, '') from {{ ref("tokenmart", "stg_usage__events") }} where is_running_total and {{ is_new }}
    {% endset %}
    {% if first_column(sessions ~ " limit 1") %}
        {% do return(
            "(" ~ is_new ~ " or (is_running_total and coalesce(session_id, '') in (" ~ sessions | trim ~ ")))"
        ) %}
    {% endif %}
    {% do return(is_new) %}
{% endmacro %}
