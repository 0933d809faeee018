{# Whether a hook runs its statements. False while dbt parses, and for `dbt clone`, which also calls hooks. #}
{% macro is_hook_run() %} {% do return(execute and flags.WHICH != "clone") %} {% endmacro %}
