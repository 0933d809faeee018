{#
The dates that {{ this }} has to rebuild, according to request_days. If a mart contains only some of the requests,
`requests_column` in the meta of its properties names the column with their number.
#}
{% macro stale_dates() %}
    {# under `dbt --empty` every ref is empty, but no date has really changed #}
    {% if invocation_args_dict.get("empty") %} {% do return([]) %} {% endif %}
    {% set requests = model.config.meta.get("requests_column", "requests") %}
    {% do return(query_dates(stale_keys("usage_date", ref("tokenmart", "request_days"), requests))) %}
{% endmacro %}
