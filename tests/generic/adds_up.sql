{#
The costs, tokens and counts of each key are the sums of its rows in `relation`, a daily mart, and no key has two rows. Checks
the keys that the newest run has written, or all keys in an audit.
#}
{% test adds_up(model, key, relation) %}
    {% set counts = ["requests", "priced_requests", "unpriced_requests", "unmetered_requests"] %}
    {% set sums = token_columns() + cost_columns() %}
    {% set is_audit = tested_dates() is none %}
    with

        model as (
            select *
            from {{ model }}
            {% if not is_audit %} where batch_id = (select max(batch_id) from {{ model }}) {% endif %}
        ),

        daily as (
            select *
            from {{ without_dependency(relation) }}
            {% if not is_audit %} where {{ key }} in (select {{ key }} from model) {% endif %}
        ),

        expected as (select daily.{{ key }}, {{ cost_totals("daily") }} from daily group by daily.{{ key }}),

        found as (
            select model.{{ key }}, count(*) as key_rows, {{ cost_totals("model") }} from model group by model.{{ key }}
        )

    select coalesce(found.{{ key }}, expected.{{ key }}) as {{ key }}
    from found
    full outer join expected on found.{{ key }} = expected.{{ key }}
    where
        coalesce(found.key_rows, 0) <> 1
        {% for column in counts %} or coalesce(found.{{ column }}, 0) <> coalesce(expected.{{ column }}, 0) {% endfor %}
        {% for column in sums %} or found.{{ column }} is distinct from expected.{{ column }} {% endfor %}
{% endtest %}
