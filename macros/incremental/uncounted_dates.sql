{#
The dates that {{ this }} (request_days) has to count again: the dates that it lacks, for example because they were deleted by
hand, and the dates that runs have affected since the second-to-last run that it has counted, because two runs may have worked at
the same time. If llm_requests was recreated since then, all dates, including those that it no longer has. No requests are counted
to find them, because that would read the whole history in every run.
#}
{% macro uncounted_dates() %}
    {% set counted = query_column(
        "select distinct batch_id from " ~ this ~ " where batch_id > 0 order by batch_id desc limit 2"
    ) %}
    {% set oldest = (
        query_column("select min(batch_id) from " ~ ref("tokenmart", "llm_requests")) | first or 0
    ) | int %}
    {% set is_recreated = counted and oldest > counted[0] | int %}
    {% set query %}
        select distinct usage_date from {{ ref("tokenmart", "affected_dates") }}
        where
            (
                batch_id > {{ 0 if is_recreated else counted | last | default(0) | int }}
                or usage_date not in (select usage_date from {{ this }})
            )
            {% if first_kept_date() %} and usage_date >= date '{{ first_kept_date() }}' {% endif %}
        {% if is_recreated %}
            union all
            select usage_date
            from {{ this }}
        {% endif %}
    {% endset %}
    {% do return(query_dates(query)) %}
{% endmacro %}
