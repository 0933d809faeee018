-- TokenLedger events, one file per month in which they were written. Some are failed, unmeasured, streamed or late.
with
    failures as (
        from
            (
                values
                    ('error', 0, 'rate_limit_error', 'Rate limit reached: try again in 20 s'),
                    ('error', 1, 'rate_limit_error', 'Rate limit reached: try again in 20 s'),
                    ('error', 2, 'overloaded_error', 'Overloaded'),
                    ('error', 3, 'invalid_request_error', 'messages: at least one message is required'),
                    ('error', 4, 'context_length_exceeded', 'The prompt is longer than the context window'),
                    ('timeout', 0, 'timeout', 'No answer within 60 s')
            ) as kinds(status, failure, error_type, error_message)
    ),
    prompts as (
        select
            requests.*,
            workloads.* exclude (slot, model),
            models.*,
            people.* exclude (person),
            draw(event, 'outcome', 1000) as outcome,
            draw(session, 'environment', 100) as environment_draw,
            skewed(prompt_tokens, event, 'prompt') + 1 + position * 150 as prompt,
            if(reply_tokens > 0, 16 + skewed(reply_tokens, event, 'reply'), 0) as reply,
            epoch_us(getvariable('starts_on') + to_days(getvariable('days')))
            - epoch_us(requested_at) as microseconds_left,
        from requests
        join workloads using (slot)
        join models using (model)
        join people using (person)
    ),
    responses as (
        select
            *,
            case when outcome < 30 then 'error' when outcome < 40 then 'timeout' else 'success' end as status,
            case when outcome < 30 then draw(event, 'failure', 5) when outcome < 40 then 0 end as failure,
            outcome >= 45 as is_measured,
            case
                when position > 0 and cached_price > 0 and prompt > 1024 and draw(event, 'cached', 100) < 65
                then divide(prompt * (50 + draw(event, 'cached share', 46)), 6400) * 64
                else 0
            end as cached,
        from prompts
    ),
    timed as (
        select
            *,
            case
                when draw(event, 'untimed', 100) = 0
                then null
                when status = 'timeout'
                then 600000 + draw(event, 'overrun', 4000)
                when status = 'error'
                then 800 + draw(event, 'refusal', 9000)
                else
                    least(
                        599999,
                        skewed(10 * first_token_ms, event, 'first token')
                        + divide(reply * ms_per_token * (75 + draw(event, 'speed', 51)), 10)
                    )
            end as tenths_of_ms,
            -- two hours to ten days late, but written before the sample ends
            case
                when draw(event, 'late', 1000) < 5 and microseconds_left > 7300000000
                then 7200000000 + draw(event, 'lateness', least(864000000000, microseconds_left) - 7210000000)
                else 0
            end as microseconds_late,
            -- some streamed replies are logged two or three times while they grow
            case
                when not is_measured or reply = 0
                then 1
                when draw(event, 'snapshots', 1000) < 6
                then 2
                when draw(event, 'snapshots', 1000) < 12
                then 3
                else 1
            end as snapshots,
        from responses
    ),
    written_lines as (
        select
            *,
            unnest(range(snapshots)) as part,
            if(part < snapshots - 1, 1 + draw(event, 'first words', 12), reply) as written,
            requested_at + to_microseconds(microseconds_late + 400000 * part) as written_at,
        from timed
    ),
    counted as (
        select
            *,
            case
                when is_measured
                then if(provider = 'anthropic', prompt - cached, prompt)
                -- some failed calls are logged with zero tokens, others without tokens
                when status <> 'success' and draw(event, 'zeros', 2) = 0
                then 0
            end as input_tokens,
            if(is_measured, written, 0 * input_tokens) as output_tokens,
            if(is_measured, cached, 0 * input_tokens) as cached_tokens,
            -- computed with floats, including their rounding errors; one in ten events has no cost
            case
                when is_measured and draw(event, 'unpriced', 10) > 0
                then
                    (prompt - cached) / 1e6 * cast(input_price as double)
                    + cached / 1e6 * coalesce(cast(cached_price as double), 0)
                    + written / 1e6 * cast(output_price as double)
            end as cost_usd,
        from written_lines
    )
select
    strftime(written_at, '%Y-%m.jsonl') as file,
    written_at,
    event,
    part,
    left(
        to_json(
            struct_pack(
                event_id := drawn_uuid(event, 'event'),
                trace_id := if(project = 'forge', md5(sample_key(session, 'trace')), null),
                span_id := if(project = 'forge', left(md5(sample_key(event, 'span')), 16), null),
                parent_span_id
                := if(project = 'forge' and position > 0, left(md5(sample_key(session, 'root span')), 16), null),
                timestamp := strftime(requested_at, '%Y-%m-%dT%H:%M:%S.%f+00:00'),
                duration_ms := tenths_of_ms / 10,
                provider := provider,
                model := model,
                input_tokens := input_tokens,
                output_tokens := output_tokens,
                total_tokens := input_tokens + output_tokens,
                cached_tokens := cached_tokens
            )
        ),
        -1
    )
    -- not with to_json, which writes 0.0000235 instead of 2.35e-05
    || ',"cost_usd":'
    || coalesce(cast(cost_usd as varchar), 'null')
    || ','
    || substr(
        to_json(
            struct_pack(
                endpoint := endpoint,
                request_type := if(reply_tokens > 0, 'chat', 'embedding'),
                user_id := if(draw(session, 'anonymous', 50) > 0, user_id, null),
                session_id := if(app_name <> 'batch-tagger', drawn_uuid(session, 'session'), null),
                organization_id := organization_id,
                app_name := app_name,
                environment
                := case when environment_draw < 80 then 'prod' when environment_draw < 93 then 'staging' else 'dev' end,
                status := status,
                error_type := error_type,
                error_message := error_message,
                metadata := if(
                    draw(event, 'metadata', 4) = 0,
                    cast(to_json(struct_pack(prompt_version := 1 + draw(event, 'version', 9))) as varchar),
                    null
                ),
                request_preview := null,
                response_preview := null,
                feature := feature,
                page := page,
                component := component,
                team := team,
                project := project,
                cost_center := cost_center,
                metadata_extra := null
            )
        ),
        2
    ) as line,
from counted
left join failures using (status, failure)
