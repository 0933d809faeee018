{# Post-hook of a mart: deletes the rows of dates that have no requests left. #}
{% macro delete_emptied_dates() %}
    {%- if is_hook_run() and not invocation_args_dict.get("empty") -%}
        {%- set requests = model.config.meta.get("requests_column", "requests") -%}
        {%- set query -%}
            select distinct usage_date from {{ this }}
            where usage_date not in (
                select usage_date from {{ ref("tokenmart", "request_days") }} where {{ requests }} > 0
            )
        {%- endset -%}
        {%- set dates = query_dates(query) -%}
        {%- if dates -%} delete from {{ physical_table() }} where {{ in_dates(dates) }} {%- endif -%}
    {%- endif -%}
{% endmacro %}
