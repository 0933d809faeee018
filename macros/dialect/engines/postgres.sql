{# PostgreSQL rounds a quotient to about 16 digits if its operands have few decimal places #}
{% macro postgres__average_money(total, count) -%}
    cast(round(cast({{ total }} as numeric(76, 38)) / nullif({{ count }}, 0), 12) as {{ data_type("money") }})
{%- endmacro %}

{# PostgreSQL sorts text by the language of the database #}
{% macro postgres__binary_collation(text) %}({{ text }}) collate "C"{% endmacro %}

{# PostgreSQL estimates that a ranking window returns one row. It would use a nested loop, which takes hours, not seconds. #}
{% macro postgres__prepare_session() %}
    {{ postgres__timescale_prepare_write() }} select set_config('enable_nestloop', 'off', true)
{% endmacro %}

{# without current statistics, the next run's plan assumes one row for a new date and joins it with a nested loop #}
{% macro postgres__refresh_statistics() %} analyze {{ this }}{% endmacro %}

{#
Requests are stored in the order of their timestamps, so the delete is also limited by timestamp, one day wider on each side
because of the time zone. The literals must have the column's type: with dates, TimescaleDB would delete nothing from
compressed chunks.
#}
{% macro postgres__limit_write_to(dates, time) %}
    {% do default__limit_write_to(dates, time) %}
    {% if time and dates %}
        {% set first, end = dates_around([dates | first], 1) | first, dates_around([dates | last], 2) | last %}
        {% do config.get("incremental_predicates").append(
            time ~ " >= timestamp '" ~ first ~ "' and " ~ time ~ " < timestamp '" ~ end ~ "'"
        ) %}
    {% endif %}
{% endmacro %}

{% macro postgres__table_layout(day, time, keys, lookups, replaced_by) %}
    {% set indexes = [] %}
    {% for column in ([day] if day else []) + lookups %} {% do indexes.append({"columns": [column]}) %} {% endfor %}
    {% if time %} {% do indexes.append({"columns": [time], "type": "brin"}) %} {% endif %}
    {# the marts get no such index: they are small, and their texts may be too long for it #}
    {% if time and keys %} {% do indexes.append({"columns": [keys[0], time]}) %} {% endif %}
    {% set after_commit = [] %}
    {% if time %}
        {% for hook in ["drop_expired_chunks", "refresh_live_usage"] %}
            {% do after_commit.append(
                {"sql": "{{ postgres__timescale_" ~ hook ~ "() if is_hook_run() }}", "transaction": false}
            ) %}
        {% endfor %}
    {% endif %}
    {% set layout = {"indexes": indexes, "post_hook": after_commit} %}
    {# a table that is recreated loses its grants, so a model that is built as a whole keeps its table and gets new rows #}
    {% if not (day or lookups or replaced_by) %}
        {% do layout.update(materialized="incremental", incremental_strategy="replace_rows") %}
    {% endif %}
    {% do return(layout) %}
{% endmacro %}

{# dbt finds this strategy by its name. Both statements are one transaction: no reader sees the table empty. #}
{% macro get_incremental_replace_rows_sql(arg_dict) %}
    delete from {{ arg_dict["target_relation"] }}
    ;
    {{ get_insert_into_sql(arg_dict["target_relation"], arg_dict["temp_relation"], arg_dict["dest_columns"]) }}
{% endmacro %}

{% macro postgres__milliseconds_between(first, last) %}
    extract(epoch from ({{ last }}) - ({{ first }})) * 1000000
{%- endmacro %}

{% macro postgres__json_members(relation, json, columns) -%}
    select {{ columns | join(", ") }}, member.tag_key, member.tag_value
    from {{ relation }}
    cross join lateral json_each_text(cast({{ json }} as json)) as member(tag_key, tag_value)
{%- endmacro %}

{% macro postgres__load_csv_rows(model, agate_table) %}
    {% do return(insert_seed_rows(model, agate_table)) %}
{% endmacro %}
