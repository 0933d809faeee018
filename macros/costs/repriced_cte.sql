{#
The CTE `repriced`: event_id and usage_date of the requests in the table `stored` whose cost, or the reason for it, differs from
what the present prices give. It reads all stored requests.
#}
{% macro repriced_cte(stored) %}
    {%- set columns = ["event_id", "usage_date"] + pricing_columns() + cost_columns() + ["cost_without_cache_usd"] -%}
    repriced as (
        with
            stored_requests as (select {{ request_columns().all | join(", ") }} from {{ stored }}),

            {{ model_ctes("stored_requests") }},
            {{ price_ctes("keyed", "listed_models", "model_regions") }},
            {{ cost_ctes("priced") }},

            differing as (
                select {{ columns | join(", ") }}
                from costs {{ dbt.except() }}
                select {{ columns | join(", ") }}
                from {{ stored }}
            )

        select event_id, usage_date
        from differing
    )
{%- endmacro %}
