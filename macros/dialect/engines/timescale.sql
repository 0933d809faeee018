{#
TimescaleDB is an extension of PostgreSQL; without the extension, these macros have no effect. With the license 'apache',
TimescaleDB has only hypertables. With the license 'timescale', it also has the columnstore, policies and continuous aggregates.
#}
{% macro postgres__timescale_license() %}
    {% set query %}
        select coalesce(current_setting('timescaledb.license', true), 'apache') from pg_extension where extname = 'timescaledb'
    {% endset %}
    {% do return(query_column(query) | first | default("", true)) %}
{% endmacro %}

{# The schema of the extension's functions, which may not be on the search path. #}
{% macro postgres__timescale_schema() %}
    {% set query %}
        select quote_ident(nspname)
        from pg_extension
        inner join pg_namespace on pg_namespace.oid = extnamespace
        where extname = 'timescaledb'
    {% endset %}
    {% do return(query_column(query) | first) %}
{% endmacro %}

{#
Late events may change rows in compressed chunks, of which TimescaleDB by default decompresses at most 100,000 rows. A full
refresh replaces the table that live_usage reads, so live_usage is dropped, and apply_storage_policies creates it again. It is
dropped first because its readers lock it before the table. In the other order, the run and a reader would wait for each other.
#}
{% macro postgres__timescale_prepare_write() -%}
    {%- if postgres__timescale_license() == "timescale" -%}
        select set_config('timescaledb.max_tuples_decompressed_per_dml_transaction', '0', true)
        ;
        {%- set live_usage = postgres__timescale_live_usage_relation() -%}
        {%- set is_there -%}
            select 1 from timescaledb_information.continuous_aggregates
            where view_schema = '{{ live_usage.schema }}' and view_name = '{{ live_usage.identifier }}'
        {%- endset -%}
        {%- if query_column(is_there) and not (var("live_usage") and is_incremental()) -%}
            drop materialized view {{ live_usage }}
            ;
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{% macro postgres__apply_storage_policies(time) -%}
    {%- set license = postgres__timescale_license() -%}
    {%- if license -%}
        {%- set schema = postgres__timescale_schema() -%}
        select
            {{ schema }}.create_hypertable(
                '{{ this }}',
                {{ schema }}.by_range('{{ time }}', interval '7 days'),
                create_default_indexes => false,
                migrate_data => true,
                if_not_exists => true
            )
        ;
    {%- endif -%}
    {%- if license == "timescale" -%}
        {{ postgres__timescale_columnstore(schema, time) }} {{ postgres__timescale_live_usage(schema, time) }}
        {# version 0.1 used a retention policy, whose job may deadlock with the run #}
        {%- if postgres__timescale_policy_days("drop_after") -%}
            select {{ schema }}.remove_retention_policy('{{ this }}')
            ;
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{# The number of days in this parameter of the table's policy; 0 if the table has no such policy. #}
{% macro postgres__timescale_policy_days(parameter) %}
    {% set query %}
        select extract(day from cast(config ->> '{{ parameter }}' as interval)) from timescaledb_information.jobs
        where
            hypertable_schema = '{{ this.schema }}' and hypertable_name = '{{ this.identifier }}'
            and config ->> '{{ parameter }}' is not null
    {% endset %}
    {% do return(query_column(query) | first | default(0, true) | int) %}
{% endmacro %}

{% macro postgres__timescale_columnstore(schema, time) -%}
    {%- set after = var("columnstore_after_days") or 0 -%}
    {%- set before = postgres__timescale_policy_days("compress_after") -%}
    {%- if before and before != after -%}
        call {{ schema }}.remove_columnstore_policy('{{ this }}')
        ;
    {%- endif -%}
    {%- if after and before != after -%}
        {%- set is_on -%}
            select 1 from timescaledb_information.hypertables
            where hypertable_schema = '{{ this.schema }}' and hypertable_name = '{{ this.identifier }}' and compression_enabled
        {%- endset -%}
        {# TimescaleDB may refuse to set it again after rows are compressed #}
        {%- if not query_column(is_on) -%}
            alter table {{ this }} set (
                timescaledb.enable_columnstore = true, timescaledb.segmentby = 'model', timescaledb.orderby = '{{ time }}'
            )
            ;
        {%- endif -%}
        call {{ schema }}.add_columnstore_policy('{{ this }}', after => interval '{{ after }} days')
        ;
    {%- endif -%}
{%- endmacro %}

{% macro postgres__timescale_live_usage_relation() %}
    {% do return(this.incorporate(path={"identifier": "live_usage"})) %}
{% endmacro %}

{#
Post-hook after the commit: drops expired chunks, two days after the run deletes their rows. Readers lock the table first and
then its chunks, but drop_chunks locks them in the reverse order. With the table locked first, neither waits for the other.
New readers have to wait for that lock. If a long query holds the table, the run therefore gives up after two seconds, and the
next run drops the chunks; their rows are already deleted. The hook needs a separate transaction because the run's transaction
holds other locks on the table.
#}
{% macro postgres__timescale_drop_expired_chunks() -%}
    {%- if execute and first_kept_date() and postgres__timescale_license() -%}
        {%- set schema = postgres__timescale_schema() -%}
        {%- set expired = (
            "('" ~ this ~ "', older_than => timestamp '" ~ dates_around([first_kept_date()], 2)
            | first ~ "')"
        ) -%}
        {%- if query_column("select 1 from " ~ schema ~ ".show_chunks" ~ expired ~ " limit 1") -%}
            {% do return(
                "begin; set local lock_timeout = '2s'; do $$ begin lock table only "
                ~ this
                ~ " in access exclusive mode; perform "
                ~ schema
                ~ ".drop_chunks"
                ~ expired
                ~ "; exception when lock_not_available then null; end $$; commit"
            ) %}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}

{#
Post-hook after the commit, because a refresh opens its own transactions: updates live_usage for the data that the run changed,
deleted or dropped, up to yesterday. Later requests are read from the table. Until the first refresh is complete, all requests
are read from the table. Newer versions of TimescaleDB refresh in batches by default, and hide the data of later batches until
the refresh is complete; buckets_per_batch = 0 prevents this.
#}
{% macro postgres__timescale_refresh_live_usage() -%}
    {%- if execute and var("live_usage") and postgres__timescale_license() == "timescale" -%}
        {%- set has_batches -%}
            select 1 from pg_proc where proname = 'refresh_continuous_aggregate' and 'options' = any(proargnames)
        {%- endset -%}
        {%- set arguments = [
            "'" ~ postgres__timescale_live_usage_relation() ~ "'",
            "null",
            "timestamp '" ~ dates_around([run_started_at.date().isoformat()], 1) | first ~ "'",
        ] -%}
        {%- if query_column(has_batches) -%}
            {%- do arguments.append("options => '{\"buckets_per_batch\": 0}'") -%}
        {%- endif -%}
        call {{ postgres__timescale_schema() }}.refresh_continuous_aggregate({{ arguments | join(", ") }})
    {%- endif -%}
{%- endmacro %}

{# A continuous aggregate for dashboards that are open all day: it shows what a run adds as soon as the run commits. #}
{% macro postgres__timescale_live_usage(schema, time) -%}
    {%- if var("live_usage") -%}
        {%- set live_usage = postgres__timescale_live_usage_relation() -%}
        {%- set bucket = schema ~ ".time_bucket('15 minutes', " ~ time ~ ")" -%}
        create materialized view if not exists {{ live_usage }}
        with(timescaledb.continuous, timescaledb.materialized_only = false) as
        select
        {{ bucket }} as usage_quarter,
        provider,
        model,
        count(*) as requests,
        sum(input_tokens) as input_tokens,
        sum(output_tokens) as output_tokens,
        sum(cost_usd) as cost_usd,
        count(*) filter(where status = 'error') as errors,
        percentile_cont(0.95) within group(order by duration_ms) as duration_ms_p95
        from {{ this }}
        group by usage_quarter,
        provider,
        model
        with no data
        ;
        {# version 0.1 used a refresh policy, which fills the newest dates first and hides the others until it has finished #}
        select {{ schema }}.remove_continuous_aggregate_policy('{{ live_usage }}', if_exists => true)
        ;
    {%- endif -%}
{%- endmacro %}
