{#
The condition of a data test on rows with this load id: true for the loads that the newest run has processed, and for all in
an audit.
#}
{% macro is_tested_load(column="_dlt_load_id") %}
    {%- if not execute or flags.WHICH == "test" or flags.FULL_REFRESH -%} 1 = 1
    {%- else -%}
        {%- set loads = without_dependency("loads") -%}
        {%- set newest = (
            "select distinct load_id from "
            ~ loads
            ~ " where batch_id = (select max(batch_id) from "
            ~ loads
            ~ ")"
        ) -%}
        {{ column }} in ({{ quoted_list(query_column(newest)) }})
    {%- endif -%}
{%- endmacro %}
