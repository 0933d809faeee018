{# A text as an SQL literal for warehouses in which backslash is the escape character. #}
{% macro escaped_text_literal(text) %}
    {% set escaped = text | replace("\\", "\\\\") | replace("\n", "\\n") | replace("\r", "\\r") %}
    {% do return("'" ~ escaped | replace("'", "\\'") ~ "'") %}
{% endmacro %}
