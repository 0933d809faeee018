{#
The dates that data tests check, as ISO dates: the dates that the newest run has affected. None, which means all dates, in an
audit, that is, under `dbt test` or in a full refresh.
#}
{% macro tested_dates() %}
    {% if not execute or flags.WHICH == "test" or flags.FULL_REFRESH %} {% do return(none) %} {% endif %}
    {% set affected = without_dependency("affected_dates") %}
    {% do return(
        query_dates(
            "select usage_date from "
            ~ affected
            ~ " where batch_id = (select max(batch_id) from "
            ~ affected
            ~ ")"
        )
    ) %}
{% endmacro %}
