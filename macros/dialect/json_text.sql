{# A field of a JSON object held as text, as text: NULL where it is missing, null, an object or an array. #}
{% macro json_text(json, key) %} {{ adapter.dispatch("json_text")(json, key) }}{% endmacro %}

{% macro default__json_text(json, key) -%}
    {%- set field = "cast(" ~ json ~ " as json) -> '" ~ key | replace("'", "''") ~ "'" -%}
    case when json_typeof({{ field }}) not in ('object', 'array') then {{ field | replace("->", "->>") }} end
{%- endmacro %}
