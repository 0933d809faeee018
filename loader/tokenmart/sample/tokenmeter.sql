-- tokenmeter usage records in one file. Costs, water and energy are exact decimals, written as text.
with
    prompts as (
        select
            requests.*,
            people.* exclude (person),
            [
                'claude-sonnet-4-5-20250929',
                'claude-haiku-4-5-20251001',
                'claude-opus-4-5-20251101',
                'gpt-5-2025-08-07',
                'gemini-2.5-pro'
            ][1 + draw(session, 'model', 5)] as model,
            64 + skewed(4000, event, 'prompt') + position * 400 as prompt,
        from requests
        join people using (person)
    ),
    responses as (
        select
            *,
            16 + skewed(reply_tokens, event, 'reply') as output_tokens,
            if(position > 0, divide(prompt * (50 + draw(event, 'cached share', 40)), 100), 0) as cache_read_tokens,
            if(provider = 'anthropic', divide(prompt, 10), 0) as cache_write_tokens,
            prompt - cache_read_tokens - cache_write_tokens as uncached_tokens,
        from prompts
        join models using (model)
    ),
    priced as (
        select
            *,
            uncached_tokens * input_price * 0.000001 as input_cost,
            output_tokens * output_price * 0.000001 as output_cost,
            cache_read_tokens * cached_price * 0.000001 as read_cost,
            cache_write_tokens * coalesce(write_price, 0) * 0.000001 as write_cost,
            (prompt + output_tokens) * 0.00045 as energy_wh,
        from responses
    )
select
    'usage.jsonl' as file,
    requested_at as written_at,
    event,
    0 as part,
    to_json(
        struct_pack(
            id := drawn_uuid(event, 'event'),
            timestamp := strftime(requested_at, '%Y-%m-%dT%H:%M:%S.%f'),
            provider := provider,
            model := model,
            input_tokens := if(provider = 'anthropic', uncached_tokens, prompt),
            output_tokens := output_tokens,
            cache_read_tokens := cache_read_tokens,
            cache_write_tokens := cache_write_tokens,
            input_cost := cast(input_cost as varchar),
            output_cost := cast(output_cost as varchar),
            total_cost := cast(input_cost + output_cost + read_cost + write_cost as varchar),
            session_id := if(draw(session, 'untold', 10) > 0, drawn_uuid(session, 'session'), null),
            user_id := if(draw(session, 'anonymous', 20) > 0, user_id, null),
            tags := if(team is null, '{}', to_json(struct_pack(team := team, cost_center := cost_center))),
            is_estimate := draw(event, 'estimate', 12) = 0,
            water_ml := cast(2 * energy_wh as varchar),
            energy_wh := cast(energy_wh as varchar)
        )
    ) as line,
from priced
