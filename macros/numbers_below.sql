{# A query for the whole numbers from 0 to `count` - 1, as the column number. #}
{% macro numbers_below(count) %}
    {%- set places = range((count - 1) | string | length) -%}
    select number
    from
        (
            select
                cast(
                    {%- for place in places %}
                        {{ 10**place }} * digits_{{ place }}.digit {{ "+" if not loop.last }}
                    {%- endfor %} as {{ data_type("count") }}
                ) as number
            from
                {%- for place in places %}
                    (
                        {%- for digit in range(10) %}
                            select {{ digit }} as digit {{ "union all" if not loop.last }}
                        {%- endfor %}
                    ) as digits_{{ place }} {{ "cross join" if not loop.last }}
                {%- endfor %}
        ) as all_numbers
    where number < {{ count }}
{%- endmacro %}
