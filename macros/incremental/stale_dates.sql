{#
The dates that {{ this }} has to be built for again, according to request_days. meta: requests_column in a mart's properties
names the column that counts its requests, if it does not have all.
#}
{% macro stale_dates() %}
    {# under `dbt --empty` every ref is empty, and no date has really changed #}
    {% if invocation_args_dict.get("empty") %} {% do return([]) %} {% endif %}
    {% set requests = model.config.meta.get("requests_column", "requests") %}
    {% do return(query_dates(stale_keys("usage_date", ref("tokenmart", "request_days"), requests))) %}
{% endmacro %}
