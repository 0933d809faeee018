{#
SQL for the keys whose requests in {{ this }} differ from those in `input`, because they are changed, new or removed. Tables
keep no watermark. They compare the number of requests and the newest batch_id per key, so a run also repairs older gaps.
#}
{% macro stale_keys(key, input, requests="requests") %}
    {# the aliases differ from the column names, because some warehouses would also use an alias in the where clause #}
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
