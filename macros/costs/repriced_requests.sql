{#
A query for event_id and usage_date of the requests in the CTE `costs` (from cost_ctes) that the table `stored` has with another
cost, or with another reason for it.
#}
{% macro repriced_requests(costs, stored) %}
    {%- set columns = pricing_columns() + cost_columns() + ["cost_without_cache_usd"] %}
    select {{ costs }}.event_id, {{ costs }}.usage_date
    from {{ costs }}
    inner join {{ stored }} as stored on {{ costs }}.event_id = stored.event_id
    where
        {% for column in columns %}
            {{ costs }}.{{ column }} is distinct from stored.{{ column }} {{ "or" if not loop.last }}
        {% endfor %}
{%- endmacro %}
