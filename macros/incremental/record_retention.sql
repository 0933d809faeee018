{#
Post-hook of llm_requests that runs before anything is deleted: if retention_days has changed, adds a row with it to
build_settings. Under `dbt --empty`, a raised value is not recorded, because the check for missing requests has not run.
#}
{% macro record_retention() %}
    {%- set recorded = recorded_settings() if is_hook_run() else none -%}
    {%- set days, kept = var("retention_days"), recorded.retention_days if recorded else none -%}
    {%- set is_unchecked = is_retention_raised(kept) and invocation_args_dict.get("empty") -%}
    {%- if recorded and days | string != kept | string and not is_unchecked -%}
        {%- set settings = current_settings().keys() | join(", ") -%}
        {%- set stored = existing_relation("build_settings") -%}
        insert into {{ stored }} ({{ settings }}, retention_days, batch_id)
        select
        {{ settings }},
            cast({{ "null" if days is none else days }} as {{ data_type("bigint") }}),
            cast({{ [current_batch_id(), recorded.batch_id | int + 1] | max }} as {{ data_type("count") }})
        from {{ stored }}
        where batch_id = {{ recorded.refresh_batch_id }}
    {%- endif -%}
{% endmacro %}
