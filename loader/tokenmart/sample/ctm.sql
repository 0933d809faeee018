-- ctm cost points in one file. Each is the running total of its session, and some repeat the previous point.
with
    points as (
        select
            *,
            if(position > 0 and draw(event, 'repeated', 12) = 0, 0, 1) as is_new,
            is_new * (4 + draw(event, 'prompt', 40)) as input_tokens,
            is_new * (16 + skewed(400, event, 'reply')) as output_tokens,
            is_new * (6000 + skewed(3000, event, 'cache') + position * 900) as cache_tokens,
        from requests
    ),
    totals as (
        select
            event,
            session,
            requested_at,
            sum(input_tokens) over so_far as input_tokens,
            sum(output_tokens) over so_far as output_tokens,
            sum(cache_tokens) over so_far as cache_tokens,
            -- USD per million tokens are millionths of a USD per token
            sum(3 * input_tokens + 15 * output_tokens + 0.3 * cache_tokens) over so_far as cost_usd_micros,
        from points
        window so_far as (partition by session order by event)
    )
select
    'cost_points.jsonl' as file,
    requested_at as written_at,
    event,
    0 as part,
    to_json(
        struct_pack(
            ts := epoch_ms(requested_at),
            session := drawn_uuid(session, 'session'),
            input_tokens := cast(input_tokens as bigint),
            output_tokens := cast(output_tokens as bigint),
            cache_tokens := cast(cache_tokens as bigint),
            cost_usd_micros := cast(floor(cost_usd_micros) as bigint)
        )
    ) as line,
from totals
