{#
TimescaleDB is PostgreSQL with an extension: all of this does nothing without it. Its licence is 'apache' where it can do
no more than hypertables, 'timescale' where it has columnstore, policies and continuous aggregates too.
#}
{% macro postgres__timescale_licence() %}
    {% set query %}
        select coalesce(current_setting('timescaledb.license', true), 'apache') from pg_extension where extname = 'timescaledb'
    {% endset %}
    {% do return(first_column(query) | first | default("", true)) %}
{% endmacro %}

{% macro postgres__manage_storage(time) -%}
    {%- set licence = postgres__timescale_licence() -%}
    {%- if licence -%}
        select
            create_hypertable(
                '{{ this }}',
                by_range('{{ time }}', interval '7 days'),
                create_default_indexes => false,
                migrate_data => true,
                if_not_exists => true
            )
        ;
    {%- endif -%}
    {%- if licence == "timescale" and var("columnstore_after_days") -%}
        {# written days should lie before: a columnstore refuses to have many rows deleted #}
        alter table {{ this }} set (
            timescaledb.enable_columnstore = true, timescaledb.segmentby = 'model', timescaledb.orderby = '{{ time }}'
        )
        ;
        call
            add_columnstore_policy(
                '{{ this }}', after => interval '{{ var("columnstore_after_days") }} days', if_not_exists => true
            )
        ;
    {%- endif -%}
    {%- if licence == "timescale" and var("retention_days") -%}
        select
            add_retention_policy(
                '{{ this }}', drop_after => interval '{{ var("retention_days") + 2 }} days', if_not_exists => true
            )
        ;
    {%- endif -%}
    {%- if licence == "timescale" and var("live_usage") -%} {{ postgres__timescale_live_usage(time) }} {%- endif -%}
{%- endmacro %}

{# A continuous aggregate for dashboards that are looked at all day: what the last runs have added is in it at once. #}
{% macro postgres__timescale_live_usage(time) -%}
    create materialized view if not exists {{ this.schema }}.live_usage
    with (timescaledb.continuous, timescaledb.materialized_only = false) as
    select
        time_bucket('15 minutes', {{ time }}) as usage_quarter,
        provider,
        model,
        count(*) as requests,
        sum(input_tokens) as input_tokens,
        sum(output_tokens) as output_tokens,
        sum(cost_usd) as cost_usd,
        count(*) filter (where status = 'error') as errors,
        percentile_cont(0.95) within group (order by duration_ms) as duration_ms_p95
    from {{ this }}
    group by usage_quarter, provider, model
    with no data
    ;
    select
        add_continuous_aggregate_policy(
            '{{ this.schema }}.live_usage',
            start_offset => interval '3 days',
            end_offset => interval '1 hour',
            schedule_interval => interval '1 hour',
            if_not_exists => true
        )
    ;
{%- endmacro %}
