{# The milliseconds from one UTC timestamp to another, with microseconds as decimals. The engines count the microseconds. #}
{% macro milliseconds_between(first, last) -%}
    cast({{ adapter.dispatch("milliseconds_between")(first, last) }} as {{ data_type("double") }}) / 1000
{%- endmacro %}

{% macro default__milliseconds_between(first, last) %} datediff('microsecond', {{ first }}, {{ last }}) {% endmacro %}
