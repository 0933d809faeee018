{#
SQL for the keys whose requests in {{ this }} differ from those in `input`: changed, new or gone. Tables keep no watermark:
they compare the number of requests and the newest batch per key, and so repair themselves.
#}
{% macro stale_keys(key, input, requests="requests") %}
    {# the names differ from those of the columns: some warehouses would take them for the sums in the condition too #}
    {% set counts = (
        key
        ~ ", cast(sum("
        ~ requests
        ~ ") as "
        ~ data_type("count")
        ~ ") as request_count, max(batch_id) as newest_batch_id"
    ) %}
    select {{ key }}
    from
        (
            select {{ counts }}
            from {{ input }}
            where {{ requests }} > 0
            group by {{ key }}
            union all
            select {{ counts }}
            from {{ this }}
            group by {{ key }}
        ) as compared
    group by {{ key }}
    having count(*) < 2 or min(request_count) <> max(request_count) or min(newest_batch_id) <> max(newest_batch_id)
{% endmacro %}
