{# A condition on a row of `loads`: the run has written the requests of the load. #}
{% macro is_processed() %} load_status in ('processed', 'repaired'){% endmacro %}
