{# Whether a hook has to run: not while dbt parses, and not for `dbt clone`, which runs hooks too. #}
{% macro is_written() %} {% do return(execute and flags.WHICH != "clone") %} {% endmacro %}
