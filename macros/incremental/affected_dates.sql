{#
The dates that the run `batch` (its batch_id) writes, from the model affected_dates. Raises a compiler error if the run has new
events but that model was left out of it, because updated requests would be duplicated. `is_new` is the run's new_events_filter.
#}
{% macro affected_dates(batch, is_new) %}
    {% set dates = query_dates(
        "select usage_date from " ~ ref("tokenmart", "affected_dates") ~ " where batch_id = " ~ batch
    ) %}
    {% set query = "select event_id from " ~ ref("tokenmart", "stg_usage__events") ~ " where " ~ is_new ~ " limit 1" %}
    {% if not dates and query_column(query) %}
        {% do exceptions.raise_compiler_error(
            "llm_requests needs the rows that affected_dates adds in the same run. Select both, for example with: dbt build --select +llm_requests"
        ) %}
    {% endif %}
    {% do return(dates) %}
{% endmacro %}
