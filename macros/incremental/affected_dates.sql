{# The dates that the run with this number writes, from the model affected_dates. #}
{% macro affected_dates(batch) %}
    {% do return(
        query_dates(
            "select usage_date from " ~ ref("tokenmart", "affected_dates") ~ " where batch_id = " ~ batch
        )
    ) %}
{% endmacro %}
