{#
Post-hook of llm_requests that runs before anything is deleted: if the run has applied changed prices, or if retention_days has
changed, adds a row with the present values to build_settings. Under `dbt --empty`, a raised retention_days is not recorded,
because the check for missing requests has not run.
#}
{% macro record_settings() %}
    {%- set recorded = recorded_settings() if is_hook_run() else none -%}
    {%- set days, kept = var("retention_days"), recorded.retention_days if recorded else none -%}
    {%- set is_unchecked = is_retention_raised(kept) and invocation_args_dict.get("empty") -%}
    {%- set has_other_retention = recorded and days | string != kept | string and not is_unchecked -%}
    {%- set has_other_prices = recorded and is_repricing() -%}
    {%- if has_other_retention or has_other_prices -%}
        {%- set names, settings, values = current_settings().keys() | list, current_settings(), [] -%}
        {%- for name in names -%}
            {%- set is_applied = has_other_prices and name in changed_prices(recorded) -%}
            {%- do values.append(
                "cast('" ~ settings[name] ~ "' as " ~ data_type("key") ~ ")" if is_applied else name
            ) -%}
        {%- endfor -%}
        {%- set stored = existing_relation("build_settings") -%}
        insert into {{ stored }} ({{ names | join(", ") }}, retention_days, batch_id)
        select
        {{ values | join(", ") }},
            cast({{ "null" if days is none else days }} as {{ data_type("bigint") }}),
            cast({{ [current_batch_id(), recorded.batch_id | int + 1] | max }} as {{ data_type("count") }})
        from {{ stored }}
        where batch_id = {{ recorded.batch_id }}
    {%- endif -%}
{% endmacro %}
