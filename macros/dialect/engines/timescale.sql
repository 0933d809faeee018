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

{# late events may fall on packed days, of which TimescaleDB would unpack no more than 100,000 rows #}
{% macro postgres__timescale_prepare_write() -%}
    {%- if postgres__timescale_licence() == "timescale" -%}
        , set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true)
    {%- endif -%}
{%- endmacro %}

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
    {%- if licence == "timescale" -%}
        {%- if var("columnstore_after_days") -%} {{ postgres__timescale_columnstore(time) }} {%- endif -%}
        {{ postgres__timescale_retention() }}
        {%- if var("live_usage") -%} {{ postgres__timescale_live_usage(time) }} {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# What the table's policy says of this parameter of policies: the vars may have changed since it was made. #}
{% macro postgres__timescale_policy(parameter) %}
    {% set query %}
        select config ->> '{{ parameter }}' from timescaledb_information.jobs
        where
            hypertable_schema = '{{ this.schema }}' and hypertable_name = '{{ this.identifier }}'
            and config ->> '{{ parameter }}' is not null
    {% endset %}
    {% do return(first_column(query) | first | default("", true)) %}
{% endmacro %}

{% macro postgres__timescale_columnstore(time) -%}
    {%- set is_on -%}
        select 1 from timescaledb_information.hypertables
        where hypertable_schema = '{{ this.schema }}' and hypertable_name = '{{ this.identifier }}' and compression_enabled
    {%- endset -%}
    {# TimescaleDB may refuse to have it set again once rows are packed #}
    {%- if not first_column(is_on) -%}
        alter table {{ this }} set (
            timescaledb.enable_columnstore = true, timescaledb.segmentby = 'model', timescaledb.orderby = '{{ time }}'
        )
        ;
    {%- endif -%}
    {%- set after = var("columnstore_after_days") ~ " days" -%}
    {%- if postgres__timescale_policy("compress_after") != after -%}
        call remove_columnstore_policy('{{ this }}', if_exists => true)
        ;
        call add_columnstore_policy('{{ this }}', after => interval '{{ after }}')
        ;
    {%- endif -%}
{%- endmacro %}

{# Drops whole pieces in between runs, two days behind what the runs delete. #}
{% macro postgres__timescale_retention() -%}
    {%- set after = (var("retention_days") + 2) ~ " days" if var("retention_days") else "" -%}
    {%- set before = postgres__timescale_policy("drop_after") -%}
    {%- if before and before != after -%}
        select remove_retention_policy('{{ this }}')
        ;
    {%- endif -%}
    {%- if after and before != after -%}
        select add_retention_policy('{{ this }}', drop_after => interval '{{ after }}')
        ;
    {%- endif -%}
{%- endmacro %}

{# A continuous aggregate for dashboards that are looked at all day: what the last runs have added is in it at once. #}
{% macro postgres__timescale_live_usage(time) -%}
    {%- set live_usage = this.incorporate(path={"identifier": "live_usage"}) -%}
    {%- if not is_incremental() -%}
        {# it still hangs on the table that was replaced, and would go with it #}
        drop materialized view if exists {{ live_usage }}
        ;
    {%- endif -%}
    create materialized view if not exists {{ live_usage }}
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
    {# from the beginning: what has not changed is not refreshed, and what the runs have deleted goes here too #}
    select
        add_continuous_aggregate_policy(
            '{{ live_usage }}',
            start_offset => null,
            end_offset => interval '1 day',
            schedule_interval => interval '1 hour',
            if_not_exists => true
        )
    ;
{%- endmacro %}
