{#
A condition that a data test puts on the load id of a row: true for loads that no run before the newest has processed, and for
all loads in an audit or if an older version has built the marts. It selects the same loads before and after the models of a run are built, because the test may run at
any time: no model depends on it.
#}
{% macro is_tested_load(column="_dlt_load_id") %}
    {%- set loads = existing_relation("loads") -%}
    {%- set columns = adapter.get_columns_in_relation(loads) if loads else [] -%}
    {%- if "load_status" not in columns | map(attribute="name") | map("lower") -%}
        {% do return("1 = 1") %}
    {%- endif -%}
    {%- if flags.WHICH == "test" or flags.FULL_REFRESH -%} {% do return("1 = 1") %} {%- endif -%}
    {%- set processed = "from " ~ loads ~ " where " ~ is_processed() -%}
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
