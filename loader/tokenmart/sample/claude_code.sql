-- Claude Code transcripts, one file per session: requests as streamed snapshots, and lines that are not requests.
with
    prompts as (
        select
            *,
            draw(session, 'model', 20) as model_draw,
            ['api', 'web', 'infra', 'notebooks'][1 + draw(session, 'project', 4)] as project,
            drawn_uuid(session, 'session') as session_id,
            -- the first request writes the system prompt to the cache; each request reads everything written before it
            50 + if(position = 0, 9000 + skewed(5000, event, 'write'), skewed(900, event, 'write')) as writes,
            16 + skewed(300, event, 'reply') as reply,
            -- most sessions cache for five minutes, some for an hour, some use both
            [0, 0, 0, 0, 50, 100, 100, 100][1 + draw(session, 'lifetime', 8)] as percent_1h,
            [1, 1, 2, 2, 3][1 + draw(event, 'snapshots', 5)] as snapshots,
            [
                'Fix the failing test',
                'Add a flag for dry runs',
                'Why is the build slow?',
                'Rename the settings module',
                'Write the release notes'
            ][1 + draw(session, 'task', 5)] as task,
            -- every request except the last one of a session calls a tool, and the next one sends the result
            'toolu_' || left(md5(sample_key(event, 'tool')), 20) as tool_id,
            ['Bash', 'Bash', 'Read', 'Edit', 'Grep'][1 + draw(event, 'tool', 5)] as tool_name,
            draw(event, 'tool fails', 12) = 0 as has_tool_failed,
            lag(tool_id) over (partition by session order by event) as last_tool_id,
            lag(has_tool_failed) over (partition by session order by event) as has_last_tool_failed,
        from requests
    ),
    cached_prompts as (
        select
            *,
            coalesce(
                sum(writes) over (partition by session order by event rows between unbounded preceding and 1 preceding),
                0
            ) as reads,
            divide(writes * percent_1h, 100) as writes_1h,
        from prompts
    ),
    snapshots as (
        select
            *,
            unnest(range(snapshots)) as snapshot,
            snapshot = snapshots - 1 as is_final,
            if(is_final, reply, 1 + draw(event, 'first words', 12)) as output_tokens,
            if(is_final, divide(reply * draw(event, 'thinking', 60), 100), 0) as thinking_tokens,
        from cached_prompts
    ),
    opening_lines as (
        select
            project,
            session_id,
            requested_at,
            event,
            0 as part,
            to_json(struct_pack(type := 'summary', summary := task, leafUuid := drawn_uuid(event, 'line 1'))) as line,
        from prompts
        where position = 0
    ),
    user_lines as (
        select
            project,
            session_id,
            requested_at,
            event,
            1 as part,
            to_json(
                struct_pack(
                    type := 'user',
                    uuid := drawn_uuid(event, 'line 1'),
                    sessionId := session_id,
                    isSidechain := false,
                    cwd := '/home/dev/' || project,
                    timestamp := strftime(requested_at, '%Y-%m-%dT%H:%M:%S.%gZ'),
                    message := struct_pack(
                        role := 'user',
                        content := case
                            when position = 0
                            then to_json(task)
                            else
                                to_json(
                                    [
                                        struct_pack(
                                            tool_use_id := last_tool_id,
                                            type := 'tool_result',
                                            content := 'The command printed 12 lines',
                                            is_error := has_last_tool_failed
                                        )
                                    ]
                                )
                        end
                    )
                )
            ) as line,
        from prompts
    ),
    -- messages that Claude Code writes after a failed call: they look like requests, but are not
    synthetic_lines as (
        select
            project,
            session_id,
            requested_at,
            event,
            2 as part,
            to_json(
                struct_pack(
                    type := 'assistant',
                    uuid := drawn_uuid(event, 'line 2'),
                    sessionId := session_id,
                    isSidechain := false,
                    cwd := '/home/dev/' || project,
                    timestamp := strftime(requested_at + to_milliseconds(300), '%Y-%m-%dT%H:%M:%S.%gZ'),
                    message := struct_pack(
                        id := drawn_uuid(event, 'synthetic'),
                        role := 'assistant',
                        model := '<synthetic>',
                        stop_reason := 'stop_sequence',
                        usage := struct_pack(
                            input_tokens := 0,
                            cache_creation_input_tokens := 0,
                            cache_read_input_tokens := 0,
                            output_tokens := 0
                        )
                    )
                )
            ) as line,
        from prompts
        where draw(event, 'synthetic', 25) = 0
    ),
    assistant_lines as (
        select
            project,
            session_id,
            requested_at,
            event,
            3 + snapshot as part,
            to_json(
                struct_pack(
                    type := 'assistant',
                    uuid := drawn_uuid(event, 'line ' || (3 + snapshot)),
                    sessionId := session_id,
                    isSidechain := false,
                    cwd := '/home/dev/' || project,
                    timestamp
                    := strftime(requested_at + to_milliseconds(700 * (1 + snapshot)), '%Y-%m-%dT%H:%M:%S.%gZ'),
                    requestId := 'req_' || left(md5(sample_key(event, 'request')), 20),
                    message := struct_pack(
                        id := 'msg_' || left(md5(sample_key(event, 'message')), 20),
                        role := 'assistant',
                        model := case
                            when model_draw < 12
                            then 'claude-sonnet-4-5-20250929'
                            when model_draw < 16
                            then 'claude-opus-4-5-20251101'
                            else 'claude-haiku-4-5-20251001'
                        end,
                        content := case
                            when is_final and not is_last
                            then
                                [
                                    struct_pack(
                                        type := 'tool_use',
                                        id := tool_id,
                                        name := tool_name,
                                        input := struct_pack(description := 'the next step')
                                    )
                                ]
                            else []
                        end,
                        stop_reason := case when is_final then if(is_last, 'end_turn', 'tool_use') end,
                        usage := struct_pack(
                            input_tokens := 3 + draw(event, 'prompt', 40),
                            cache_creation_input_tokens := writes,
                            cache_read_input_tokens := cast(reads as bigint),
                            cache_creation := struct_pack(
                                ephemeral_5m_input_tokens := writes - writes_1h, ephemeral_1h_input_tokens := writes_1h
                            ),
                            output_tokens := output_tokens,
                            output_tokens_details := struct_pack(thinking_tokens := thinking_tokens),
                            server_tool_use := struct_pack(web_search_requests := 0),
                            service_tier := 'standard'
                        )
                    )
                )
            ) as line,
        from snapshots
    ),
    system_lines as (
        select
            project,
            session_id,
            requested_at,
            event,
            9 as part,
            to_json(
                struct_pack(
                    type := 'system',
                    uuid := drawn_uuid(event, 'line 9'),
                    sessionId := session_id,
                    isSidechain := false,
                    cwd := '/home/dev/' || project,
                    timestamp := strftime(requested_at + to_seconds(3), '%Y-%m-%dT%H:%M:%S.%gZ'),
                    content := 'Session saved'
                )
            ) as line,
        from prompts
        where is_last and draw(session, 'saved', 3) = 0
    ),
    all_lines as (
        from opening_lines
        union all
        from user_lines
        union all
        from synthetic_lines
        union all
        from assistant_lines
        union all
        from system_lines
    )
select '-home-dev-' || project || '/' || session_id || '.jsonl' as file, requested_at as written_at, event, part, line,
from all_lines
