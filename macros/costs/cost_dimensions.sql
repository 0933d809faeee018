{# What costs can be summed up by: for each dimension, the mart that has it, and its column there (none for the total). #}
{% macro cost_dimensions() %}
    {% do return(
        {
            "total": ["daily_costs", none],
            "model": ["daily_costs_by_model", "model"],
            "provider": ["daily_costs_by_model", "provider"],
            "user": ["daily_costs_by_user", "user_id"],
            "team": ["daily_costs_by_attribution", "team"],
            "project": ["daily_costs_by_attribution", "project"],
        }
    ) %}
{% endmacro %}
