{#
A condition on the rows of one load in `loads`: no run has processed the load, or two runs have processed it at the same time
and the duplicate requests are not repaired yet.
#}
{% macro needs_processing() -%}
    (
        sum(case when load_status = 'processed' then 1 else 0 end) <> 1
        and sum(case when load_status = 'repaired' then 1 else 0 end) = 0
    )
{%- endmacro %}
