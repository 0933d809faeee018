{# Post-hook of a mart: a day that still differs after the rebuild, and is counted with none, has no requests any more. #}
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
