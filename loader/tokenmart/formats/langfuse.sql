-- Observations of Langfuse, from its export to a blob storage or from its API, one per line.
create macro recognizes(line) as
    json_exists(line, '$.trace_id')
    and json_exists(line, '$.usage_details')
    or json_exists(line, '$.traceId')
    and json_exists(line, '$.usageDetails');

-- Writers choose the names of token counts. `total` is computed by Langfuse if the writer does not give it.
create macro kind_of(name) as
    case
        when name = 'total'
        then 'total'
        when name in ('total_tokens', 'totalTokens', 'total_token_count', 'totalTokenCount')
        then 'total of the writer'
        when regexp_matches(name, '(?i)cache.?(creation|write)|ephemeral')
        then 'cache write'
        when regexp_matches(name, '(?i)cache')
        then 'cache read'
        when regexp_matches(name, '(?i)reasoning|thought|thinking')
        then 'reasoning'
        when regexp_full_match(name, '(?i)(input|prompt)(_?tokens?)?(_?count)?')
        then 'input'
        when regexp_full_match(name, '(?i)(output|completion|candidates)(_?tokens?)?(_?count)?')
        then 'output'
        when regexp_matches(name, '(?i)^input|prompt')
        then 'other input'
        when regexp_matches(name, '(?i)^(output|completion|candidates)')
        then 'other output'
    end;

create type event as struct(
    id varchar,
    trace_id varchar,
    traceId varchar,
    project_id varchar,
    projectId varchar,
    environment varchar,
    type varchar,
    parent_observation_id varchar,
    parentObservationId varchar,
    start_time varchar,
    startTime varchar,
    end_time varchar,
    endTime varchar,
    completion_start_time varchar,
    completionStartTime varchar,
    updated_at varchar,
    updatedAt varchar,
    name varchar,
    trace_name varchar,
    traceName varchar,
    level varchar,
    status_message varchar,
    statusMessage varchar,
    provided_model_name varchar,
    providedModelName varchar,
    model varchar,
    usage_details json,
    usageDetails json,
    cost_details json,
    costDetails json,
    total_cost varchar,
    totalCost varchar,
    calculatedTotalCost varchar,
    user_id varchar,
    userId varchar,
    session_id varchar,
    sessionId varchar,
    tags json,
    metadata json,
    latency json,
    time_to_first_token json,
    timeToFirstToken json,
    usage json,
    promptTokens json,
    completionTokens json,
    totalTokens json,
    input json,
    output json,
    model_parameters json,
    modelParameters json,
    tool_calls json,
    toolCalls json,
    tool_definitions json,
    toolDefinitions json
);

with
    parts as (
        select
            *,
            utc_timestamp(coalesce(event.start_time, event.startTime)) as started_at,
            utc_timestamp(coalesce(event.end_time, event.endTime)) as ended_at,
            utc_timestamp(coalesce(event.completion_start_time, event.completionStartTime)) as first_token_at,
            utc_timestamp(coalesce(event.updated_at, event.updatedAt)) as updated_at,
            json_object_in(event.metadata) as metadata,
            case
                when json_type(event.tags) = 'ARRAY' then list_distinct(from_json(event.tags, '["varchar"]'))
            end as labels,
            coalesce(
                try(
                    map_entries(
                        cast(json_object_in(coalesce(event.usage_details, event.usageDetails)) as map(varchar, varchar))
                    )
                ),
                []
            ) as usage
        from events
    ),

    counts as (
        select
            *,
            [
                {'name':entry.key, 'kind':kind_of(entry.key), 'tokens':entry.value}
                for entry in usage
                if kind_of(entry.key) is not null and entry.value is not null
            ] as counts
        from parts
    ),

    sums as (
        select
            *,
            [count.tokens for count in counts if not is_token_count(count.tokens)][1] as invalid_count,
            list_max([tokens(count.tokens) for count in counts if count.kind = 'input']) as input,
            list_sum([tokens(count.tokens) for count in counts if count.kind = 'other input']) as other_input,
            list_sum([tokens(count.tokens) for count in counts if count.kind = 'cache read']) as cache_reads,
            list_sum([tokens(count.tokens) for count in counts if count.kind = 'cache write']) as cache_writes,
            list_sum(
                [tokens(count.tokens) for count in counts if count.kind = 'cache write' and contains(count.name, '1h')]
            ) as one_hour_writes,
            list_max([tokens(count.tokens) for count in counts if count.kind = 'output']) as output,
            list_sum([tokens(count.tokens) for count in counts if count.kind = 'other output']) as other_output,
            list_sum([tokens(count.tokens) for count in counts if count.kind = 'reasoning']) as reasoning,
            list_max([tokens(count.tokens) for count in counts if count.kind = 'total']) as total,
            list_max([tokens(count.tokens) for count in counts if count.kind = 'total of the writer']) as own_total,
            -- OpenAI's names, which Langfuse replaces unless it does not know the other fields of the usage
            len([count for count in counts if count.name in ('prompt_tokens', 'completion_tokens')]) > 0 as is_raw
        from counts
    ),

    wholes as (
        select
            *,
            coalesce(input, 0) + coalesce(output, 0) as whole,
            coalesce(other_input, 0) + coalesce(cache_reads, 0) + coalesce(cache_writes, 0) as input_parts,
            coalesce(other_output, 0) + coalesce(reasoning, 0) as output_parts
        from sums
    ),

    totals as (
        select
            *,
            -- a total that Langfuse has computed is the sum of all counts and decides nothing about OpenAI's counts
            coalesce(
                own_total, case when not (is_raw and total >= whole + input_parts + output_parts) then total end
            ) as deciding_total
        from wholes
    ),

    -- The input and the output leave out their parts, unless the total shows that they include them.
    conventions as (
        select
            *,
            case
                when deciding_total = whole + input_parts + output_parts
                then true
                when deciding_total in (whole, whole + output_parts)
                then false
                when deciding_total = whole + input_parts
                then true
                else not is_raw
            end as adds_input,
            case
                when deciding_total = whole + input_parts + output_parts
                then true
                when deciding_total in (whole, whole + input_parts)
                then false
                when deciding_total = whole + output_parts
                then true
                else not is_raw
            end as adds_output
        from totals
    )

select
    line_id,
    event.id as event_id,
    started_at as occurred_at,
    -- not latency, which is in seconds or, in some versions, in milliseconds
    date_diff('microsecond', try_cast(started_at as timestamptz), try_cast(ended_at as timestamptz))
    / 1000 as duration_ms,
    date_diff('microsecond', try_cast(started_at as timestamptz), try_cast(first_token_at as timestamptz))
    / 1000 as time_to_first_token_ms,
    coalesce(event.provided_model_name, event.providedModelName, event.model) as model,
    case
        event.type when 'GENERATION' then 'chat' when 'EMBEDDING' then 'embeddings' else lower(event.type)
    end as operation,
    coalesce(
        invalid_count,
        cast(
            case
                when not adds_input
                then input
                when input is not null or input_parts > 0
                then coalesce(input, 0) + coalesce(other_input, 0)
            end as varchar
        )
    ) as input_tokens,
    cache_reads as cache_read_tokens,
    cache_writes as cache_write_tokens,
    one_hour_writes as cache_write_1h_tokens,
    case
        when not adds_output
        then output
        when output is not null or output_parts > 0
        then coalesce(output, 0) + output_parts
    end as output_tokens,
    reasoning as reasoning_tokens,
    if(adds_input, 'exclusive', 'inclusive') as token_convention,
    epoch_us(try_cast(updated_at as timestamptz)) as snapshot_version,
    coalesce(
        event.total_cost,
        event.totalCost,
        event.calculatedTotalCost,
        json_object_in(coalesce(event.cost_details, event.costDetails)) ->> '$.total'
    ) as reported_cost_usd,
    coalesce(event.user_id, event.userId) as user_id,
    coalesce(event.session_id, event.sessionId) as session_id,
    metadata ->> '$.team' as team,
    coalesce(event.project_id, event.projectId) as project,
    event.environment,
    coalesce(event.trace_name, event.traceName) as feature,
    event.name as component,
    case when event.level = 'ERROR' then 'error' else 'success' end as status,
    case when event.level = 'ERROR' then coalesce(event.status_message, event.statusMessage) end as error_message,
    coalesce(event.trace_id, event.traceId) as trace_id,
    event.id as span_id,
    coalesce(event.parent_observation_id, event.parentObservationId) as parent_span_id,
    joined_json(
        'metadata',
        metadata,
        'tags',
        case
            when len(labels) > 0 then to_json(map_from_entries([{'key':label, 'value':'true'} for label in labels]))
        end
    ) as tags,
    extra
from conventions
-- The other types, such as AGENT, contain requests; if they have usage, it is the sum of these requests.
where
    event.type in ('GENERATION', 'EMBEDDING')
    or event.type in ('RETRIEVER', 'EVALUATOR', 'GUARDRAIL')
    and whole + input_parts + output_parts > 0
