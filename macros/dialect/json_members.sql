{#
A query of these columns of a relation and the members of its column `json`, one row per member, as `tag_key` and `tag_value`. `json`
is the text of an object as the loader writes it: without nested values, and without spaces between its parts. A member that is null
has the value NULL. Objects without members have no rows.
#}
{% macro json_members(relation, json, columns) %}
    {{ adapter.dispatch("json_members")(relation, relation ~ "." ~ json, columns) }}
    where coalesce({{ relation }}.{{ json }}, '{}') <> '{}'
{%- endmacro %}
