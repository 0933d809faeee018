{#
Whether landed requests that {{ this }} has taken before are missing in it, though their days are kept: those before its
first day. Later ones are no matter of retention; assert_no_request_is_lost_or_doubled finds them.
#}
{% macro found_again_by_retention() %}
    {% set first = first_column("select min(usage_date) from " ~ this)[0] %}
    {% set query %}
        select event_id from {{ ref("tokenmart", "stg_usage__events") }}
        where
            load_id in (select load_id from {{ ref("tokenmart", "loads") }} where batch_id > 0)
            and event_id not in (select event_id from {{ this }})
            {% if first %} and usage_date < date '{{ (first | string)[:10] }}' {% endif %}
            {% if first_kept_day() %} and usage_date >= date '{{ first_kept_day() }}' {% endif %}
        limit 1
    {% endset %}
    {% do return(first_column(query) | length > 0) %}
{% endmacro %}
