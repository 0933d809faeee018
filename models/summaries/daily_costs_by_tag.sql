with

    daily_costs as (select * from {{ ref("tokenmart", "daily_costs") }}),

    tags as (select * from {{ ref("tokenmart", "request_tags") }}),

    tagged as (
        select
            tags.usage_date,
            tags.tag_key,
            tags.tag_value,
            cast(count(*) as {{ data_type("count") }}) as requests,
            cast(count(tags.cost_usd) as {{ data_type("count") }}) as priced_requests,
            sum(tags.cost_usd) as cost_usd,
            sum(tags.allocated_cost_usd) as allocated_cost_usd
        from tags
        group by tags.usage_date, tags.tag_key, tags.tag_value
    ),

    tag_keys as (select distinct tag_key from tagged where tag_key <> 'unattributed'),

    by_key as (
        select
            tagged.usage_date,
            tagged.tag_key,
            sum(tagged.requests) as requests,
            sum(tagged.priced_requests) as priced_requests,
            coalesce(sum(tagged.cost_usd), 0) as cost_usd
        from tagged
        group by tagged.usage_date, tagged.tag_key
    ),

    -- each key on each day: how many requests do not have it, and what they cost
    without_key as (
        select
            -- some warehouses keep the prefix of columns that several relations have
            daily_costs.usage_date as usage_date,
            tag_keys.tag_key as tag_key,
            daily_costs.requests - coalesce(by_key.requests, 0) as requests,
            daily_costs.priced_requests - coalesce(by_key.priced_requests, 0) as priced_requests,
            daily_costs.cost_usd - coalesce(by_key.cost_usd, 0) as cost_usd
        from daily_costs
        cross join tag_keys
        left join by_key on daily_costs.usage_date = by_key.usage_date and tag_keys.tag_key = by_key.tag_key
    ),

    all_rows as (
        select *
        from tagged
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

-- a log may also have a tag with the value 'unattributed'
select
    all_rows.usage_date,
    cast(all_rows.tag_key as {{ data_type("key") }}) as tag_key,
    cast(all_rows.tag_value as {{ data_type("key") }}) as tag_value,
    cast(sum(all_rows.requests) as {{ data_type("count") }}) as requests,
    cast(sum(all_rows.priced_requests) as {{ data_type("count") }}) as priced_requests,
    cast(sum(all_rows.requests - all_rows.priced_requests) as {{ data_type("count") }}) as unpriced_requests,
    cast(sum(all_rows.cost_usd) as {{ data_type("money") }}) as cost_usd,
    cast(sum(all_rows.allocated_cost_usd) as {{ data_type("money") }}) as allocated_cost_usd
from all_rows
group by all_rows.usage_date, all_rows.tag_key, all_rows.tag_value
