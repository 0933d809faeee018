{# Whether a hook has to do something: not while dbt parses, and not for `dbt clone`, which runs hooks too. #}
{% macro is_hook_run() %} {% do return(execute and flags.WHICH != "clone") %} {% endmacro %}
