-- Each row of price_overrides has a unique id, a model_pattern, and either prices or a discount, and its values are
-- possible.
{% set prices = price_columns() %}
with

    price_overrides as (select * from {{ user_seed("price_overrides") }}),

    overrides as (
        select
            price_overrides.*,
            count(*) over (partition by override_id) as rows_with_id,
            coalesce({{ prices | join(", ") }}) as any_price
        from price_overrides
    ),

    checked as (
        select
            override_id,
            case
                when coalesce(override_id, '') = ''
                then 'override_id is empty'
                when rows_with_id > 1
                then 'another row has the same override_id'
                when coalesce(model_pattern, '') = ''
                then 'model_pattern is empty; write % for every model'
                when valid_to <= valid_from
                then 'valid_to is not after valid_from'
                when any_price is not null and discount_share is not null
                then 'the row has prices and a discount_share'
                when input_usd_per_million is null and discount_share is null
                then 'the row has neither an input price nor a discount_share'
                when discount_share < 0 or discount_share > 1 or discount_share <> round(discount_share, 3)
                then 'discount_share is not a number from 0 to 1 with at most three decimal places'
                {% for price in prices %} when {{ price }} < 0 then '{{ price }} is negative' {% endfor %}
            end as problem
        from overrides
    )

select override_id, problem
from checked
where problem is not null
