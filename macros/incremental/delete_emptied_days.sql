{# Post-hook of a mart: deletes days that still differ after the rebuild and have a count of 0, because they have no requests left. #}
{% macro delete_emptied_days() %}
    {%- if is_written() -%}
        {%- set days = changed_days() -%}
        {%- set counted = (
            days_of(
                "select usage_date from "
                ~ ref("tokenmart", "request_days")
                ~ " where "
                ~ model.config.meta.get("requests_column", "requests")
                ~ " > 0 and "
                ~ in_days(days)
            )
            if days
            else []
        ) -%}
        {%- set emptied = days | reject("in", counted) | list -%}
        {%- if emptied -%} delete from {{ stored_rows() }} where {{ in_days(emptied) }} {%- endif -%}
    {%- endif -%}
{% endmacro %}
