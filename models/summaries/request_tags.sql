{% set kept = ["usage_date", "event_id", "cost_usd"] %}
with

    requests as (select * from {{ ref("tokenmart", "llm_requests") }}),

    members as ({{ json_members("requests", "tags", kept) }}),

    numbered as (
        select
            members.*,
            row_number() over (
                partition by members.usage_date, members.event_id order by {{ binary_collation("members.tag_key") }}
            ) as tag_number,
            count(*) over (partition by members.usage_date, members.event_id) as tag_count
        from members
    ),

    shares as (
        select
            numbered.*,
            {{ average_money("cast(1 as " ~ data_type("money") ~ ")", "numbered.tag_count") }} as weight,
            {{ average_money("numbered.cost_usd", "numbered.tag_count") }} as cost_share
        from numbered
    ),

    totals as (
        select
            shares.*,
            sum(shares.weight) over (partition by shares.usage_date, shares.event_id) as all_weights,
            sum(shares.cost_share) over (partition by shares.usage_date, shares.event_id) as all_shares
        from shares
    )

-- shares are rounded, so the first tag has the rest
select
    usage_date,
    event_id,
    cast(tag_key as {{ data_type("key") }}) as tag_key,
    cast(coalesce(tag_value, 'null') as {{ data_type("key") }}) as tag_value,
    cast(
        case when tag_number = 1 then 1 - all_weights + weight else weight end as {{ data_type("money") }}
    ) as tag_weight,
    cost_usd,
    cast(
        case when tag_number = 1 then cost_usd - all_shares + cost_share else cost_share end as {{ data_type("money") }}
    ) as allocated_cost_usd
from totals
union all
select
    requests.usage_date,
    requests.event_id,
    cast('unattributed' as {{ data_type("key") }}) as tag_key,
    cast('unattributed' as {{ data_type("key") }}) as tag_value,
    cast(1 as {{ data_type("money") }}) as tag_weight,
    requests.cost_usd,
    requests.cost_usd as allocated_cost_usd
from requests
where coalesce(requests.tags, '{}') = '{}'
