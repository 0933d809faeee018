{# The date `days` days before a date. #}
{% macro days_before(day, days) %} {{ adapter.dispatch("days_before")(day, days) }}{% endmacro %}

{% macro default__days_before(day, days) %} cast(({{ day }}) - cast({{ days }} as integer) as date){% endmacro %}
