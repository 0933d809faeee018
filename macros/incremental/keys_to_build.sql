{# SQL for the keys of `input` that {{ this }} builds: all keys, or the stale keys in an incremental run. #}
{% macro keys_to_build(key, input) %}
    {# under `dbt --empty` the input is empty, but no key was really removed #}
    {% if is_incremental() and not invocation_args_dict.get("empty") %} {{ stale_keys(key, input) }}
    {% else %} select distinct {{ key }} from {{ input }}
    {% endif %}
{% endmacro %}
