-- Session logs of Codex (rollout files), for the current and the archived sessions.
--
-- A line of type token_count has the totals of the session, and in newer versions the counts of the last request. It is
-- written again when rate limits change, so a request is identified by the session and its totals. A forked session
-- begins with copies of its parent's lines. The copies are skipped, because they belong to the parent, whose file may
-- be
-- absent: a line is a copy if its turn began before the session. Seen: files of version 0.104, and reduced forks. Not
-- seen: forks of versions that write no turns. Their copies count as requests.
create macro recognizes(line) as
    json_exists(line, '$.payload')
    and json_exists(line, '$.timestamp')
    and line ->> '$.type' in (
        'session_meta',
        'turn_context',
        'event_msg',
        'response_item',
        'compacted',
        'world_state',
        'inter_agent_communication_metadata'
    )
    -- versions before September 2025 write no counts: their lines are skipped
    or json_exists(line, '$.id')
    and json_exists(line, '$.timestamp')
    and json_exists(line, '$.instructions')
    or line ->> '$.record_type' = 'state';

-- most lines are prompts, replies and tool results
create macro may_be_request(line) as contains(line, '"token_count"');

create macro may_have_facts(line) as
    contains(line, '"session_meta"')
    or contains(line, '"turn_context"')
    or contains(line, '"task_started"')
    or contains(line, '"token_count"');

-- the session of the first session_meta (later ones are copied from ancestors), the last task_started, the last
-- turn_context, and the totals of the last token_count
create type context as struct(first_session json, task json, turn json, total json);

create macro facts(line) as
    {
        'first_session':case
            when line ->> '$.type' = 'session_meta'
            then
                json_object(
                    'id',
                    line ->> '$.payload.id',
                    'started_at',
                    line ->> '$.payload.timestamp',
                    'provider',
                    line ->> '$.payload.model_provider',
                    'originator',
                    line ->> '$.payload.originator',
                    'cwd',
                    line ->> '$.payload.cwd',
                    'branch',
                    line ->> '$.payload.git.branch',
                    'parent',
                    coalesce(
                        line ->> '$.payload.forked_from_id',
                        line ->> '$.payload.source.subagent.thread_spawn.parent_thread_id'
                    )
                )
        end,
        'task':case
            when line ->> '$.payload.type' = 'task_started'
            then json_object('id', line ->> '$.payload.turn_id', 'started_at', line ->> '$.payload.started_at')
        end,
        'turn':case
            when line ->> '$.type' = 'turn_context'
            then
                json_object(
                    'id',
                    line ->> '$.payload.turn_id',
                    'model',
                    line ->> '$.payload.model',
                    'effort',
                    line ->> '$.payload.effort'
                )
        end,
        'total':case
            when line ->> '$.payload.type' = 'token_count' then json_object_in(line -> '$.payload.info.total_token_usage')
        end
    };

-- ids of sessions and turns contain the time when they began, so they can be compared
create macro is_time_ordered(id) as regexp_matches(id, '^[0-9a-f]{8}-[0-9a-f]{4}-7');

-- a count of `total` minus that of the total before; if the total has decreased, a new count has begun
create macro increase(name, total, before, has_decreased) as
    case
        when has_decreased or tokens(before ->> name) is null
        then total ->> name
        else cast(tokens(total ->> name) - tokens(before ->> name) as varchar)
    end;

create type event as struct(
    "timestamp" varchar,
    type varchar,
    payload struct(
        type varchar, info struct(total_token_usage json, last_token_usage json), rate_limits json
    )
);

-- One line reports a call, and another one its result. Both have the same id in copies of a forked session.
create view tool_calls as
with
    items as (
        select
            line_id,
            context,
            line ->> '$.timestamp' as reported_at,
            json_extract(
                line,
                [
                    '$.payload.type',
                    '$.payload.call_id',
                    '$.payload.name',
                    '$.payload.arguments',
                    '$.payload.input',
                    '$.payload.action',
                    '$.payload.output'
                ]
            ) as values
        from lines
        where contains(line, '_call"') or contains(line, '_call_output"')
    ),

    calls as (
        select
            *,
            values[1] ->> '$' as type,
            coalesce(values[4] ->> '$', values[5] ->> '$', cast(values[6] as varchar)) as arguments,
            values[7] ->> '$' as output
        from items
    ),

    results as (
        select
            *,
            -- in JSON, or in a line before the output
            nullif(
                regexp_extract(left(output, 1000), '(?:"exit_code": ?|Exit code: |exited with code )(-?[0-9]+)', 1), ''
            ) as exit_code
        from calls
    )

select
    line_id,
    values[2] ->> '$' as tool_call_id,
    case when type = 'local_shell_call' then 'local_shell' else values[3] ->> '$' end as tool_name,
    case when output is null then reported_at end as started_at,
    case when output is not null then reported_at end as finished_at,
    case when exit_code is not null then case when exit_code = '0' then 'success' else 'error' end end as status,
    strlen(arguments) as arguments_bytes,
    strlen(output) as result_bytes,
    context.first_session ->> 'id' as session_id,
    context.first_session ->> 'cwd' as project,
    'codex' as app_name
from results
where
    type in (
        'function_call',
        'function_call_output',
        'custom_tool_call',
        'custom_tool_call_output',
        'local_shell_call',
        'local_shell_call_output'
    )
    and json_type(values[2]) = 'VARCHAR';

with
    parts as (
        select
            *,
            context.first_session as session,
            json_object_in(event.payload.info.total_token_usage) as total,
            json_object_in(event.payload.info.last_token_usage) as last,
            context.total as before
        from events
        where event.payload.type = 'token_count'
    ),

    compared as (
        select
            *,
            tokens(total ->> 'input_tokens') < tokens(before ->> 'input_tokens')
            or tokens(total ->> 'output_tokens') < tokens(before ->> 'output_tokens') as has_decreased,
            case
                when session ->> 'parent' is null
                then false
                when context.task ->> 'started_at' is not null
                then
                    number(context.task ->> 'started_at')
                    < floor(epoch(try_cast(session ->> 'started_at' as timestamptz)))
                when
                    is_time_ordered(session ->> 'id')
                    and is_time_ordered(coalesce(context.task ->> 'id', context.turn ->> 'id'))
                then coalesce(context.task ->> 'id', context.turn ->> 'id') < session ->> 'id'
            end as is_copy
        from parts
    ),

    usages as (
        select
            *,
            coalesce(
                last,
                to_json(
                    map_from_entries(
                        [
                            {'key':name, 'value':increase(name, total, before, coalesce(has_decreased, false))}
                            for name in [
                                'input_tokens',
                                'cached_input_tokens',
                                'cache_write_input_tokens',
                                'output_tokens',
                                'reasoning_output_tokens'
                            ]
                        ]
                    )
                )
            ) as usage
        from compared
    )

select
    line_id,
    (session ->> 'id')
    || '/'
    || concat_ws(
        '-',
        total ->> 'input_tokens',
        total ->> 'cached_input_tokens',
        total ->> 'output_tokens',
        total ->> 'reasoning_output_tokens'
    ) as event_id,
    event.timestamp as occurred_at,
    session ->> 'provider' as provider,
    context.turn ->> 'model' as model,
    'chat' as operation,
    usage ->> 'input_tokens' as input_tokens,
    usage ->> 'cached_input_tokens' as cache_read_tokens,
    usage ->> 'cache_write_input_tokens' as cache_write_tokens,
    usage ->> 'output_tokens' as output_tokens,
    usage ->> 'reasoning_output_tokens' as reasoning_tokens,
    'inclusive' as token_convention,
    session ->> 'id' as session_id,
    session ->> 'cwd' as project,
    'codex' as app_name,
    session ->> 'originator' as component,
    'success' as status,
    cast(
        json_merge_patch(
            '{}',
            json_object(
                'effort',
                context.turn ->> 'effort',
                'git_branch',
                session ->> 'branch',
                'forked_from_id',
                session ->> 'parent',
                'plan_type',
                event.payload.rate_limits ->> '$.plan_type'
            )
        ) as varchar
    ) as tags,
    extra
from usages
where
    coalesce(total, last) is not null
    and not coalesce(is_copy, false)
    -- written again, or after the context was full
    and total is distinct from before
    and (number(usage ->> 'input_tokens') <> 0 or number(usage ->> 'output_tokens') <> 0)
