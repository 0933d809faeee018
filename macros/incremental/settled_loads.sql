{#
A query for the loads in `loads` that no run has to process again: one run has processed the load, or two runs have processed it
at the same time, and the duplicate requests are repaired.
#}
{% macro settled_loads(loads) %}
    select load_id
    from {{ loads }}
    group by load_id
    having
        sum(case when load_status = 'processed' then 1 else 0 end) = 1
        or sum(case when load_status = 'repaired' then 1 else 0 end) > 0
{% endmacro %}
