-- Chats of Gemini CLI: the session files with one JSON object per line, and the older ones with one object per file.
--
-- A session file is a journal: a message is written again when its token counts arrive or its tools finish, and a line
-- with $set can repeat all messages. The last counts of a message are the right ones: earlier ones can be larger,
-- because they are estimates. Messages that the user took back were billed too. Seen: files of version 0.40. Not seen:
-- lines of type message_update, which are read as the writer's code describes them.
create macro recognizes(line) as
    json_exists(line, '$.sessionId')
    and json_exists(line, '$.projectHash')
    or line ->> '$.type' = 'gemini'
    and json_exists(line, '$.tokens')
    or json_exists(line, '$."$set"')
    or json_exists(line, '$."$rewindTo"');

create macro may_be_request(line) as contains(line, '"tokens"');

create macro may_have_facts(line) as contains(line, '"projectHash"') or contains(line, '"gemini"');

-- the session, and the last message, which a message_update can be about
create type context as struct(first_session_id varchar, message json);

create macro facts(line) as
    {
        'first_session_id':case when json_exists(line, '$.projectHash') then line ->> '$.sessionId' end,
        'message':case
            when line ->> '$.type' = 'gemini'
            then
                json_object(
                    'id', line ->> '$.id', 'timestamp', line ->> '$.timestamp', 'model', line ->> '$.model'
                )
        end
    };

create macro missing_thoughts(input, tool, output, total) as
    case
        when tokens(total) > tokens(input) + coalesce(tokens(tool), 0) + tokens(output)
        then cast(tokens(total) - tokens(input) - coalesce(tokens(tool), 0) - tokens(output) as varchar)
    end;

-- Gemini's API has other names for the counts
create macro count_of(counts, name, api_name) as coalesce(counts ->> name, counts ->> api_name);

with
    messages as (
        select
            line_id,
            line_number,
            context,
            coalesce(context.first_session_id, line ->> '$.sessionId') as session_id,
            unnest((line -> '$.messages[*]') || (line -> '$."$set".messages[*]') || [line -> '$']) as message
        from lines
    ),

    counted as (
        select
            *,
            message -> '$.tokens' as counts,
            case
                when message ->> '$.type' = 'gemini'
                then message
                when context.message ->> '$.id' = message ->> '$.id'
                then context.message
            end as described
        from messages
        where message ->> '$.type' in ('gemini', 'message_update') and json_type(message, '$.tokens') = 'OBJECT'
    ),

    parts as (
        select
            *,
            count_of(counts, 'input', 'promptTokenCount') as input,
            count_of(counts, 'tool', 'toolUsePromptTokenCount') as tool,
            count_of(counts, 'output', 'candidatesTokenCount') as output,
            count_of(counts, 'thoughts', 'thoughtsTokenCount') as thoughts,
            count_of(counts, 'total', 'totalTokenCount') as total
        from counted
    )

select
    line_id,
    concat_ws('/', session_id, message ->> '$.id') as event_id,
    line_number as snapshot_version,
    coalesce(described ->> '$.timestamp', message ->> '$.timestamp') as occurred_at,
    'google' as provider,
    coalesce(described ->> '$.model', message ->> '$.model') as model,
    'chat' as operation,
    -- the tokens of tool results are not in the input
    token_sum(input, tool) as input_tokens,
    count_of(counts, 'cached', 'cachedContentTokenCount') as cache_read_tokens,
    -- thoughts are not in the output; some versions count them only in the total
    token_sum(output, coalesce(thoughts, missing_thoughts(input, tool, output, total))) as output_tokens,
    coalesce(thoughts, missing_thoughts(input, tool, output, total)) as reasoning_tokens,
    'inclusive' as token_convention,
    session_id,
    'gemini_cli' as app_name,
    'success' as status
from parts
