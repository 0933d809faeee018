{#
Fails for every combination of values in these columns that more than one row has. If usage_date is one of the columns, only
the tested dates are checked.
#}
{% test unique_together(model, columns) %}
    select {{ columns | join(", ") }}
    from {{ model }}
    {% if "usage_date" in columns %} where {{ is_tested() }} {% endif %}
    group by {{ columns | join(", ") }}
    having count(*) > 1
{% endtest %}
