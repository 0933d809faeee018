{# Whether a hook has anything to do: not while dbt parses, and not for `dbt clone`, which runs hooks too. #}
{% macro is_written() %} {% do return(execute and flags.WHICH != "clone") %} {% endmacro %}
