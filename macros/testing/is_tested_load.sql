{#
The condition of a data test on rows with this load id: true for loads that no run before the newest has processed, and for
all in an audit. It is the same before and after the models of a run, because no model waits for the test.
#}
{% macro is_tested_load(column="_dlt_load_id") %}
    {%- set loads = existing_relation("loads") -%}
    {%- if not loads or flags.WHICH == "test" or flags.FULL_REFRESH -%} {% do return("1 = 1") %} {%- endif -%}
    {%- set processed = "from " ~ loads ~ " where load_status in ('processed', 'repaired')" -%}
    {%- set query -%}
        select load_id from {{ without_dependency("_dlt_loads") }}
        where
            status = 0
            and load_id not in (
                select load_id {{ processed }} and batch_id < (select max(batch_id) {{ processed }})
            )
    {%- endset -%}
    {%- do return(column ~ " in (" ~ quoted_list(query_column(query)) ~ ")") -%}
{%- endmacro %}
