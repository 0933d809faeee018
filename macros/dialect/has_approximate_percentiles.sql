{# Whether the percentiles of the marts are approximate: the variable approximate_percentiles, where it has an effect. #}
{% macro has_approximate_percentiles() %}
    {% do return(adapter.dispatch("has_approximate_percentiles")()) %}
{% endmacro %}

{% macro default__has_approximate_percentiles() %} {% do return(false) %} {% endmacro %}
