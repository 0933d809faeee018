{#
The days whose requests differ from those that {{ this }} was built from: changed, new, emptied or lost.
A mart keeps no watermark: it compares itself with request_days, day by day, in the column that counts its requests
(meta: requests_column in its properties; all requests by default).
#}
{% macro changed_days() %}
    {# under `dbt --empty` every ref is empty, and no day has really changed #}
    {% if invocation_args_dict.get("empty") %} {% do return([]) %} {% endif %}
    {% set requests = model.config.meta.get("requests_column", "requests") %}
    {% set query %}
        select usage_date
        from (
            select usage_date, {{ requests }} as requests, batch_id from {{ ref('tokenmart', 'request_days') }} where {{ requests }} > 0
            union all
            select usage_date, cast(sum({{ requests }}) as {{ data_type('count') }}) as requests, max(batch_id) as batch_id
            from {{ this }}
            group by usage_date
        ) as days
        group by usage_date
        having count(*) < 2 or min(requests) <> max(requests) or min(batch_id) <> max(batch_id)
    {% endset %}
    {% do return(days_of(query)) %}
{% endmacro %}
