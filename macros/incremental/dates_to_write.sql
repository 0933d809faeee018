{#
The dates that the run `batch` (its batch_id) writes, from the model affected_dates. `is_new` is the run's new_events_filter.
Raises a compiler error if affected_dates was left out of the run, because updated requests would be duplicated, or if loads was
left out and there are unprocessed loads, because their events would not be read.
#}
{% macro dates_to_write(batch, is_new) %}
    {% set dates = query_dates(
        "select usage_date from " ~ ref("tokenmart", "affected_dates") ~ " where batch_id = " ~ batch
    ) %}
    {% set new_events %} select event_id from {{ ref("tokenmart", "stg_usage__events") }} where {{ is_new }} limit 1 {% endset %}
    {% set unlisted_loads %}
        select load_id from {{ without_dependency("_dlt_loads") }}
        where
            status = 0
            and load_id not in ({{ settled_loads(ref("tokenmart", "loads")) }})
            and load_id not in (select load_id from {{ ref("tokenmart", "loads") }} where batch_id = {{ batch }})
        limit 1
    {% endset %}
    {# a load may also be completed after this run has listed the loads #}
    {% set are_listed = "model.tokenmart.loads" in selected_resources or flags.WHICH not in ["build", "run"] %}
    {% if not dates and (query_column(new_events) or not are_listed and query_column(unlisted_loads)) %}
        {% do exceptions.raise_compiler_error(
            "llm_requests needs the rows that loads and affected_dates add in the same run. Select all three, for example with: dbt build --select +llm_requests+"
        ) %}
    {% endif %}
    {% do return(dates) %}
{% endmacro %}
