{# The milliseconds from one UTC timestamp to another, with microseconds as decimals. #}
{% macro milliseconds_between(first, last) -%}
    cast({{ adapter.dispatch("milliseconds_between")(first, last) }} as {{ data_type("double") }})
{%- endmacro %}

{% macro default__milliseconds_between(first, last) %}
    datediff('microsecond', {{ first }}, {{ last }}) / 1000
{% endmacro %}
