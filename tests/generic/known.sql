{# Fails for rows without a value in the column. #}
{% test known(model, column_name) %}
    select usage_date from {{ model }} where {{ column_name }} is null and {{ is_tested() }}
{% endtest %}
