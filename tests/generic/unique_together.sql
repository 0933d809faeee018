{#
Fails for every combination of the columns that more than one row has. Columns with usage_date are only looked at on the
dates that are tested.
#}
{% test unique_together(model, columns) %}
    select {{ columns | join(", ") }}
    from {{ model }}
    {% if "usage_date" in columns %} where {{ is_tested() }} {% endif %}
    group by {{ columns | join(", ") }}
    having count(*) > 1
{% endtest %}
