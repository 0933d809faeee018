{# The date that is `days` days before `day`. #}
{% macro subtract_days(day, days) %} {{ adapter.dispatch("subtract_days")(day, days) }}{% endmacro %}

{% macro default__subtract_days(day, days) %} cast(({{ day }}) - cast({{ days }} as integer) as date){% endmacro %}
