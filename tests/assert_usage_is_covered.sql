-- The shares of requests without a known cost, and without token counts, are not greater than the settings allow.
{% set limits = {"unpriced": var("max_unpriced_share"), "unmetered": var("max_unmetered_share")} %}
{{ config(enabled=limits.values() | reject("none") | list | length > 0) }}

with

    tested as (
        select sum(requests) as requests, sum(unpriced_requests) as unpriced, sum(unmetered_requests) as unmetered
        from {{ ref("tokenmart", "daily_costs") }}
        where {{ is_tested() }}
    )

{% for kind, limit in limits.items() if limit is not none %}
    select '{{ kind }} requests' as kind, {{ kind }} as requests_of_kind, requests, {{ limit }} as max_share
    from tested
    where {{ kind }} > {{ limit }} * requests {{ "union all" if not loop.last }}
{% endfor %}
