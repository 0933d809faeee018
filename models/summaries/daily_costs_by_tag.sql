with

    tags as (select * from {{ ref("tokenmart", "request_tags") }}),

    tag_keys as (select distinct tag_key from tags where tag_key <> 'unattributed'),

    -- the weights of a request add up to 1
    days as (
        select
            tags.usage_date,
            sum(tags.tag_weight) as requests,
            sum(case when tags.cost_usd is not null then tags.tag_weight else 0 end) as priced_requests,
            sum(tags.allocated_cost_usd) as cost_usd
        from tags
        group by tags.usage_date
    ),

    by_key as (
        select
            tags.usage_date,
            tags.tag_key,
            count(*) as requests,
            count(tags.cost_usd) as priced_requests,
            coalesce(sum(tags.cost_usd), 0) as cost_usd
        from tags
        group by tags.usage_date, tags.tag_key
    ),

    -- each key on each day: how many requests do not have it, and what they cost
    without_key as (
        select
            -- some warehouses keep the prefix of columns that several relations have
            days.usage_date as usage_date,
            tag_keys.tag_key as tag_key,
            days.requests - coalesce(by_key.requests, 0) as requests,
            days.priced_requests - coalesce(by_key.priced_requests, 0) as priced_requests,
            days.cost_usd - coalesce(by_key.cost_usd, 0) as cost_usd
        from days
        cross join tag_keys
        left join by_key on days.usage_date = by_key.usage_date and tag_keys.tag_key = by_key.tag_key
    ),

    rows_of_tags as (
        select
            usage_date,
            tag_key,
            tag_value,
            1 as requests,
            case when cost_usd is not null then 1 else 0 end as priced_requests,
            cost_usd,
            allocated_cost_usd
        from tags
        union all
        select
            without_key.usage_date,
            without_key.tag_key,
            'unattributed' as tag_value,
            without_key.requests,
            without_key.priced_requests,
            case when without_key.priced_requests > 0 then without_key.cost_usd end as cost_usd,
            0 as allocated_cost_usd
        from without_key
        where without_key.requests > 0
    )

select
    rows_of_tags.usage_date,
    cast(rows_of_tags.tag_key as {{ data_type("key") }}) as tag_key,
    cast(rows_of_tags.tag_value as {{ data_type("key") }}) as tag_value,
    cast(sum(rows_of_tags.requests) as {{ data_type("count") }}) as requests,
    cast(sum(rows_of_tags.priced_requests) as {{ data_type("count") }}) as priced_requests,
    cast(sum(rows_of_tags.requests - rows_of_tags.priced_requests) as {{ data_type("count") }}) as unpriced_requests,
    cast(sum(rows_of_tags.cost_usd) as {{ data_type("money") }}) as cost_usd,
    cast(sum(rows_of_tags.allocated_cost_usd) as {{ data_type("money") }}) as allocated_cost_usd
from rows_of_tags
group by rows_of_tags.usage_date, rows_of_tags.tag_key, rows_of_tags.tag_value
