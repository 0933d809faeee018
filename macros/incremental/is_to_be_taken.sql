{#
A condition on the rows of one load in `loads`. Two runs at the same time leave two marks; their rows are repaired once,
and then marked with the negative number of the later run.
#}
{% macro is_to_be_taken() -%}
    (max(batch_id) = 0 or (sum(case when batch_id > 0 then 1 else 0 end) > 1 and min(batch_id) > - max(batch_id)))
{%- endmacro %}
