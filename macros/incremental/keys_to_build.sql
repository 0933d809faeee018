{# SQL for the keys of `input` that {{ this }} has to be built for: all, or in an incremental run those that are stale. #}
{% macro keys_to_build(key, input) %}
    {# under `dbt --empty` the input is empty, and no key is really gone #}
    {% if is_incremental() and not invocation_args_dict.get("empty") %} {{ stale_keys(key, input) }}
    {% else %} select distinct {{ key }} from {{ input }}
    {% endif %}
{% endmacro %}
