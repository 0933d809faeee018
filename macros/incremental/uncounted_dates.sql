{#
The dates that {{ this }} (request_days) has to count again: the dates that runs have affected since the second-to-last run
that it has counted, because two runs may have worked at the same time. If llm_requests was recreated since then, all dates.
#}
{% macro uncounted_dates() %}
    {% set requests = ref("tokenmart", "llm_requests") %}
    {% set counted = query_column(
        "select distinct batch_id from " ~ this ~ " where batch_id > 0 order by batch_id desc limit 2"
    ) %}
    {% set oldest = (query_column("select min(batch_id) from " ~ requests) | first or 0) | int %}
    {% if counted and oldest > counted[0] | int %}
        {% do return(
            query_dates("select usage_date from " ~ requests ~ " union all select usage_date from " ~ this)
        ) %}
    {% endif %}
    {% do return(
        query_dates(
            "select distinct usage_date from "
            ~ ref("tokenmart", "affected_dates")
            ~ " where batch_id > "
            ~ (counted | last | default(0))
            | int
        )
    ) %}
{% endmacro %}
