-- Model calls in traces and logs of OpenTelemetry (OTLP JSON), also those that Claude Code and Codex export.
-- A line is an export of the collector and has any number of requests: spans of model calls, and log records that
-- report a request. The id of the response identifies a request, also if several spans and log records report it.
-- Without this id, the ids of trace and span identify it.
--
-- Spans that repeat a request are left out: a span with a model call below it, and a span of a framework during which a
-- client has begun the same call, also in another trace. A format sees one line at a time, so only spans of the same
-- line are compared. If the exporter has written them to different lines and they have no id of the response, the call
-- is counted twice. To prevent this, turn off the instrumentation of the framework or that of the client.
create macro recognizes(line) as
    json_exists(line, '$.resourceSpans')
    or json_exists(line, '$.resourceLogs')
    or json_exists(line, '$.resourceMetrics');

-- most lines of a collector are other traces, other logs and metrics
create macro may_be_request(line) as
    contains(line, 'gen_ai.')
    or contains(line, 'llm.')
    or contains(line, 'openinference.')
    or contains(line, 'ai.operationId')
    or contains(line, 'claude_code')
    or contains(line, 'codex.');

-- Structures for json_transform, which is faster than a cast to a type. Each kind of value takes time, so kinds that no
-- mapped attribute has are left out. An array becomes a text that contains JSON.
create macro attributes_structure() as
    '[{"key": "varchar", "value": {"stringValue": "varchar", "intValue": "varchar", "doubleValue": "varchar",'
    || ' "arrayValue": "varchar"}}]';

create macro traces_structure() as
    '{"resourceSpans": [{"resource": {"attributes": '
    || attributes_structure()
    || '}, "scopeSpans": [{"scope": {"name": "varchar"}, "spans": [{"traceId": "varchar", "spanId": "varchar",'
    || ' "parentSpanId": "varchar", "startTimeUnixNano": "varchar", "endTimeUnixNano": "varchar", "attributes": '
    || attributes_structure()
    || ', "events": "json", "status": {"code": "varchar", "message": "varchar"}}]}]}]}';

create macro logs_structure() as
    '{"resourceLogs": [{"resource": {"attributes": '
    || attributes_structure()
    || '}, "scopeLogs": [{"scope": {"name": "varchar"}, "logRecords": [{"traceId": "varchar", "spanId": "varchar",'
    || ' "timeUnixNano": "varchar", "observedTimeUnixNano": "varchar", "eventName": "varchar",'
    || ' "body": {"stringValue": "varchar"}, "attributes": '
    || attributes_structure()
    || '}]}]}]}';

-- the attributes of a span are a list of names and a list of texts, because looking up a name in a map takes longer
create macro attributes_in(attributes) as
    {
        'names':[attribute.key for attribute in attributes],
        'texts':[
            nullif(
                coalesce(
                    attribute.value.stringValue,
                    attribute.value.intValue,
                    attribute.value.doubleValue,
                    attribute.value.arrayValue
                ),
                ''
            )
            for attribute in attributes
        ]
    };

create macro attribute_of(attributes, name) as attributes.texts[list_position(attributes.names, name)];

-- some writers of JSON encode ids in base64 instead of hexadecimal
create macro hex_id(id, base64_length) as
    nullif(lower(case when strlen(id) = base64_length then coalesce(hex(try(from_base64(id))), id) else id end), '');

-- the texts in an array such as {"values": [{"stringValue": "beta"}]}, still with quotes
create macro quoted_texts_in(x) as regexp_extract_all(x, '"stringValue":("(?:[^"\\]|\\.)*")', 1);

create macro members_of_tags(x) as
    case when len(quoted_texts_in(x)) > 0 then array_to_string(quoted_texts_in(x), ':"true",') || ':"true"' end;

-- Metadata is a text that contains JSON. json_extract removes its spaces: checking what to keep takes longer with them.
create macro members_of_metadata(x) as
    case
        when starts_with(ltrim(x), '{')
        then cast(try(json_extract(x, '$')) as varchar)[2:-2]
        when x is not null
        then '"metadata":' || to_json(x)
    end;

create macro property_name(name) as
    regexp_replace(name, '^(traceloop[.]association[.]properties|ai[.]telemetry[.]metadata)[.]', '');

create macro property_text(value) as coalesce(value.stringValue, value.intValue, value.doubleValue);

create macro members_of_properties(x) as
    case
        when len(x) > 0
        then
            array_to_string(
                [
                    concat(to_json(property_name(property.key)), ':', to_json(property_text(property.value)))
                    for property in x
                    if property_text(property.value) is not null
                ],
                ','
            )
    end;

create macro object_of(members) as '{' || nullif(members, '') || '}';

-- identifies records without ids
create macro digest(attributes, started_at) as md5(concat(attributes, started_at));

create macro nanoseconds(x) as nullif(try_cast(x as bigint), 0);

create macro is_model_call(operation) as
    lower(operation) in (
        'chat',
        'text_completion',
        'generate_content',
        'embeddings',
        'responses',
        'chat.completions',
        'text.completions',
        'completion',
        'embedding'
    );

-- frameworks and gateways that send requests through the client of a provider
create macro is_framework(scope) as
    regexp_matches(
        lower(scope),
        'lang(chain|graph|smith)|llama_?-?index|haystack|crewai|dspy|autogen|agno|beeai|smolagents|pydantic'
        || '|semantic_?kernel|instructor|guardrails|litellm|portkey|strands|mastra|agent|adk'
        || '|extensions[.]ai|spring|^ai$'
    );

-- spans of tools, and the events of Claude Code and Codex about their results
create view tool_calls as
with
    resource_spans as (
        select line_id, unnest(json_transform(line, traces_structure()).resourceSpans) as entry
        from lines
        where
            contains(line, 'resourceSpans')
            and (contains(line, 'execute_tool') or contains(line, '"TOOL"') or contains(line, 'gen_ai.tool.name'))
    ),

    scope_spans as (
        select
            line_id,
            attribute_of(attributes_in(entry.resource.attributes), 'service.name') as service,
            unnest(entry.scopeSpans) as scope
        from resource_spans
    ),

    spans as (select line_id, service, unnest(scope.spans) as span from scope_spans),

    attributed_spans as (
        select
            *,
            attributes_in(span.attributes) as attributes,
            hex_id(span.traceId, 24) as trace_id,
            nanoseconds(span.startTimeUnixNano) as started_at,
            nanoseconds(span.endTimeUnixNano) as ended_at
        from spans
    ),

    tool_spans as (
        select
            line_id,
            trace_id || '/' || hex_id(span.spanId, 12) as tool_call_id,
            coalesce(attribute_of(attributes, 'gen_ai.tool.name'), attribute_of(attributes, 'tool.name')) as tool_name,
            make_timestamptz(divide(started_at, 1000)) as started_at,
            make_timestamptz(divide(ended_at, 1000)) as finished_at,
            cast((ended_at - started_at) / 1000000 as varchar) as duration_ms,
            case
                when span.status.code in ('2', 'STATUS_CODE_ERROR') then 'error' when ended_at is not null then 'success'
            end as status,
            null as result_bytes,
            coalesce(
                attribute_of(attributes, 'gen_ai.conversation.id'), attribute_of(attributes, 'session.id')
            ) as session_id,
            attribute_of(attributes, 'user.id') as user_id,
            service as app_name,
            trace_id
        from attributed_spans
        where
            attribute_of(attributes, 'gen_ai.operation.name') = 'execute_tool'
            or upper(attribute_of(attributes, 'openinference.span.kind')) = 'TOOL'
    ),

    resource_logs as (
        select line_id, unnest(json_transform(line, logs_structure()).resourceLogs) as entry
        from lines
        where contains(line, 'resourceLogs') and contains(line, 'tool_result')
    ),

    scope_logs as (
        select
            line_id,
            attribute_of(attributes_in(entry.resource.attributes), 'service.name') as service,
            unnest(entry.scopeLogs) as scope
        from resource_logs
    ),

    logs as (select line_id, service, unnest(scope.logRecords) as log from scope_logs),

    attributed_logs as (
        select
            line_id,
            service,
            log,
            attributes_in(log.attributes) as attributes,
            coalesce(nanoseconds(log.timeUnixNano), nanoseconds(log.observedTimeUnixNano)) as finished_at
        from logs
    ),

    tool_results as (
        select
            line_id,
            coalesce(
                attribute_of(attributes, 'tool_use_id'),
                attribute_of(attributes, 'call_id'),
                digest(cast(log.attributes as varchar), finished_at)
            ) as tool_call_id,
            attribute_of(attributes, 'tool_name') as tool_name,
            cast(null as timestamptz) as started_at,
            make_timestamptz(divide(finished_at, 1000)) as finished_at,
            attribute_of(attributes, 'duration_ms') as duration_ms,
            case lower(attribute_of(attributes, 'success')) when 'true' then 'success' when 'false' then 'error' end as status,
            attribute_of(attributes, 'tool_result_size_bytes') as result_bytes,
            coalesce(attribute_of(attributes, 'session.id'), attribute_of(attributes, 'conversation.id')) as session_id,
            coalesce(attribute_of(attributes, 'user.id'), attribute_of(attributes, 'user.email')) as user_id,
            case when contains(service, 'codex') then 'codex' else service end as app_name,
            hex_id(log.traceId, 24) as trace_id
        from attributed_logs
        where
            regexp_replace(
                coalesce(attribute_of(attributes, 'event.name'), log.eventName, log.body.stringValue),
                '^(claude_code|codex)[.]',
                ''
            )
            = 'tool_result'
    )

select *
from tool_spans
union all by name
select *
from tool_results;

with recursive
    resource_spans as (
        select
            line_id,
            contains(line, '.association.properties.') or contains(line, '.telemetry.metadata.') as has_properties,
            unnest(json_transform(line, traces_structure()).resourceSpans) as entry
        from lines
        where contains(line, 'resourceSpans')
    ),

    resource_spans_with_attributes as (
        select
            line_id, attributes_in(entry.resource.attributes) as attributes, has_properties, entry.scopeSpans as scopes
        from resource_spans
    ),

    scope_spans as (
        select
            line_id,
            attribute_of(attributes, 'service.name') as service,
            attribute_of(attributes, 'deployment.environment.name') as environment,
            attribute_of(attributes, 'deployment.environment') as older_environment,
            attribute_of(attributes, 'cloud.region') as region,
            has_properties,
            unnest(scopes) as entry
        from resource_spans_with_attributes
    ),

    unnested_spans as (
        select
            line_id,
            service,
            coalesce(environment, older_environment) as environment,
            region,
            coalesce(is_framework(entry.scope.name), false) as is_framework,
            has_properties,
            unnest(entry.spans) as span
        from scope_spans
    ),

    spans as (
        select
            * exclude (span, has_properties),
            true as is_span,
            hex_id(span.traceId, 24) as trace_id,
            hex_id(span.spanId, 12) as span_id,
            nullif(
                nullif(hex_id(span.parentSpanId, 12), '0000000000000000'), hex_id(span.spanId, 12)
            ) as parent_span_id,
            nanoseconds(span.startTimeUnixNano) as started_at,
            nanoseconds(span.endTimeUnixNano) as ended_at,
            coalesce(span.status.code in ('2', 'STATUS_CODE_ERROR'), false) as has_failed,
            span.status.message as message,
            case
                when contains(span.events, '"First Token Stream Event"')
                then
                    [
                        event.timeUnixNano
                        for event in json_transform(span.events, '[{"name": "varchar", "timeUnixNano": "varchar"}]')
                        if event.name = 'First Token Stream Event'
                    ][1]
            end as first_token_at,
            case
                when contains(span.events, '"exception"')
                then
                    [
                        event.attributes
                        for event in json_transform(
                            span.events, '[{"name": "varchar", "attributes": ' || attributes_structure() || '}]'
                        )
                        if event.name = 'exception'
                    ][1]
            end as exception,
            -- properties that applications set with OpenLLMetry and the AI SDK
            case
                when has_properties
                then
                    [
                        attribute
                        for attribute in span.attributes
                        if starts_with(attribute.key, 'traceloop.association.properties.')
                        or starts_with(attribute.key, 'ai.telemetry.metadata.')
                    ]
            end as properties,
            attributes_in(span.attributes) as attributes
        from unnested_spans
    ),

    resource_logs as (
        select line_id, unnest(json_transform(line, logs_structure()).resourceLogs) as entry
        from lines
        where contains(line, 'resourceLogs')
    ),

    resource_logs_with_attributes as (
        select line_id, attributes_in(entry.resource.attributes) as attributes, entry.scopeLogs as scopes
        from resource_logs
    ),

    scope_logs as (
        select
            line_id,
            attribute_of(attributes, 'service.name') as service,
            attribute_of(attributes, 'deployment.environment.name') as environment,
            attribute_of(attributes, 'deployment.environment') as older_environment,
            attribute_of(attributes, 'cloud.region') as region,
            unnest(scopes) as entry
        from resource_logs_with_attributes
    ),

    unnested_logs as (
        select
            line_id,
            service,
            coalesce(environment, older_environment) as environment,
            region,
            entry.scope.name as scope,
            unnest(entry.logRecords) as log
        from scope_logs
    ),

    logs as (
        select
            * exclude (log),
            false as is_span,
            hex_id(log.traceId, 24) as trace_id,
            hex_id(log.spanId, 12) as span_id,
            coalesce(nanoseconds(log.timeUnixNano), nanoseconds(log.observedTimeUnixNano)) as started_at,
            log.body.stringValue as body,
            log.eventName as event_name,
            attributes_in(log.attributes) as attributes
        from unnested_logs
    ),

    -- the writers do not agree on where the name of an event is
    named_logs as (
        select
            * replace (
                regexp_replace(
                    coalesce(attribute_of(attributes, 'event.name'), event_name, body), '^claude_code\.', ''
                ) as event_name
            ),
            starts_with(body, 'claude_code.') or scope like 'com.anthropic.claude_code%' as is_claude_code
        from logs
    ),

    records as (
        select *
        from spans
        union all by name
        select * exclude (scope, body, event_name, is_claude_code), false as is_framework
        from named_logs
        where event_name = 'gen_ai.client.inference.operation.details'
    ),

    mapped_records as (
        select
            * exclude (attributes, exception, message),
            attribute_of(attributes, 'gen_ai.operation.name') as operation_name,
            upper(attribute_of(attributes, 'openinference.span.kind')) as kind,
            attribute_of(attributes, 'llm.request.type') as request_type,
            attribute_of(attributes, 'ai.operationId') as ai_operation,
            attribute_of(attributes, 'traceloop.span.kind') as traceloop_kind,
            attribute_of(attributes, 'gen_ai.response.id') as response_id,
            coalesce(
                attribute_of(attributes, 'gen_ai.provider.name'),
                attribute_of(attributes, 'gen_ai.system'),
                attribute_of(attributes, 'llm.provider'),
                attribute_of(attributes, 'llm.system'),
                attribute_of(attributes, 'ai.model.provider')
            ) as provider,
            coalesce(
                attribute_of(attributes, 'gen_ai.response.model'),
                attribute_of(attributes, 'llm.response.model'),
                attribute_of(attributes, 'llm.response.model_name'),
                attribute_of(attributes, 'llm.model_name'),
                attribute_of(attributes, 'embedding.model_name'),
                attribute_of(attributes, 'ai.response.model')
            ) as response_model,
            coalesce(
                attribute_of(attributes, 'gen_ai.request.model'),
                attribute_of(attributes, 'llm.request.model'),
                attribute_of(attributes, 'llm.request.model_name'),
                attribute_of(attributes, 'ai.model.id')
            ) as requested_model,
            coalesce(
                attribute_of(attributes, 'gen_ai.usage.input_tokens'),
                attribute_of(attributes, 'gen_ai.usage.prompt_tokens'),
                attribute_of(attributes, 'llm.usage.prompt_tokens'),
                attribute_of(attributes, 'llm.token_count.prompt'),
                attribute_of(attributes, 'ai.usage.inputTokens'),
                attribute_of(attributes, 'ai.usage.promptTokens'),
                attribute_of(attributes, 'ai.usage.tokens')
            ) as input_tokens,
            coalesce(
                attribute_of(attributes, 'gen_ai.usage.output_tokens'),
                attribute_of(attributes, 'gen_ai.usage.completion_tokens'),
                attribute_of(attributes, 'llm.usage.completion_tokens'),
                attribute_of(attributes, 'llm.token_count.completion'),
                attribute_of(attributes, 'ai.usage.outputTokens'),
                attribute_of(attributes, 'ai.usage.completionTokens')
            ) as output_tokens,
            coalesce(
                attribute_of(attributes, 'gen_ai.usage.total_tokens'),
                attribute_of(attributes, 'llm.usage.total_tokens'),
                attribute_of(attributes, 'llm.token_count.total'),
                attribute_of(attributes, 'ai.usage.totalTokens')
            ) as total_tokens,
            coalesce(
                attribute_of(attributes, 'gen_ai.usage.cache_read.input_tokens'),
                attribute_of(attributes, 'gen_ai.usage.cache_read_input_tokens'),
                attribute_of(attributes, 'llm.token_count.prompt_details.cache_read'),
                attribute_of(attributes, 'ai.usage.inputTokenDetails.cacheReadTokens'),
                attribute_of(attributes, 'ai.usage.cachedInputTokens')
            ) as cache_read_tokens,
            coalesce(
                attribute_of(attributes, 'gen_ai.usage.cache_creation.input_tokens'),
                attribute_of(attributes, 'gen_ai.usage.cache_creation_input_tokens'),
                attribute_of(attributes, 'llm.token_count.prompt_details.cache_write'),
                attribute_of(attributes, 'ai.usage.inputTokenDetails.cacheWriteTokens')
            ) as cache_write_tokens,
            coalesce(
                attribute_of(attributes, 'gen_ai.usage.reasoning.output_tokens'),
                attribute_of(attributes, 'gen_ai.usage.reasoning_tokens'),
                attribute_of(attributes, 'llm.usage.reasoning_tokens'),
                attribute_of(attributes, 'llm.token_count.completion_details.reasoning'),
                attribute_of(attributes, 'ai.usage.reasoningTokens')
            ) as reasoning_tokens,
            coalesce(
                attribute_of(attributes, 'llm.cost.total'),
                attribute_of(attributes, 'gen_ai.usage.cost'),
                attribute_of(attributes, 'operation.cost')
            ) as reported_cost_usd,
            coalesce(
                attribute_of(attributes, 'gen_ai.openai.response.service_tier'),
                attribute_of(attributes, 'openai.response.service_tier')
            ) as service_tier,
            coalesce(
                attribute_of(attributes, 'gen_ai.openai.api_base'), attribute_of(attributes, 'server.address')
            ) as endpoint,
            attribute_of(attributes, 'gen_ai.response.time_to_first_chunk') as seconds_to_first_token,
            attribute_of(attributes, 'ai.response.msToFirstChunk') as milliseconds_to_first_token,
            coalesce(
                attribute_of(attributes, 'gen_ai.conversation.id'),
                attribute_of(attributes, 'session.id'),
                attribute_of(attributes, 'traceloop.association.properties.session_id')
            ) as session_id,
            coalesce(
                attribute_of(attributes, 'user.id'),
                attribute_of(attributes, 'traceloop.association.properties.user_id')
            ) as user_id,
            coalesce(
                attribute_of(attributes, 'error.type'),
                [attribute.value.stringValue for attribute in exception if attribute.key = 'exception.type'][1]
            ) as error_type,
            coalesce(
                message,
                [attribute.value.stringValue for attribute in exception if attribute.key = 'exception.message'][1]
            ) as error_message,
            case when trace_id is null or span_id is null then digest(attributes, started_at) end as digest,
            attribute_of(attributes, 'metadata') as metadata,
            attribute_of(attributes, 'tag.tags') as tag_list
        from records
    ),

    identified_records as materialized(
        select
            row_number() over () as record_number,
            *,
            coalesce(
                -- Ollama numbers responses from 0 to 998
                case
                    when coalesce(lower(provider) = 'ollama' or contains(endpoint, ':11434'), false)
                    then null
                    else response_id
                end,
                trace_id || '/' || span_id,
                digest
            ) as event_id,
            case
                -- an event only if it reports more than the content of the call
                when not is_span
                then coalesce(input_tokens, output_tokens, error_type) is not null
                when is_model_call(operation_name) or kind in ('LLM', 'EMBEDDING')
                then true
                when coalesce(operation_name, kind) is not null
                then false
                when request_type is not null
                then true
                when ai_operation is not null
                then regexp_matches(ai_operation, '[.]do(Generate|Stream|Embed)$')
                when traceloop_kind is not null
                then false
                else
                    coalesce(input_tokens, output_tokens) is not null
                    and coalesce(response_model, requested_model) is not null
            end as is_model_call
        from mapped_records
    ),

    ancestors as (
        select line_id, trace_id, parent_span_id as span_id
        from identified_records
        where is_model_call and is_span
        union
        select spans.line_id, spans.trace_id, spans.parent_span_id
        from ancestors
        inner join
            identified_records as spans
            on spans.line_id = ancestors.line_id
            and spans.trace_id = ancestors.trace_id
            and spans.span_id = ancestors.span_id
    ),

    model_calls as (
        select
            record_number,
            line_id,
            trace_id,
            event_id,
            service,
            response_id,
            input_tokens,
            output_tokens,
            has_failed,
            started_at,
            ended_at,
            is_span,
            is_framework
        from identified_records
        where
            is_model_call
            and not exists (
                select 1
                from ancestors
                where
                    ancestors.line_id = identified_records.line_id
                    and ancestors.trace_id = identified_records.trace_id
                    and ancestors.span_id = identified_records.span_id
            )
    ),

    -- A client has begun the same call while the framework waited for it: with the same tokens, or in the same trace if
    -- the framework does not know the tokens. The two can be in different traces.
    repetitions as (
        select framework.record_number
        from model_calls as framework
        inner join
            model_calls as client
            on client.line_id = framework.line_id
            and client.input_tokens is not distinct from framework.input_tokens
            and client.has_failed = framework.has_failed
            and client.service is not distinct from framework.service
            and client.started_at between framework.started_at and framework.ended_at
        where
            framework.is_framework
            and not client.is_framework
            and (client.response_id is null or framework.response_id is null)
        union all
        select framework.record_number
        from model_calls as framework
        inner join
            model_calls as client
            on client.line_id = framework.line_id
            and client.trace_id = framework.trace_id
            and client.started_at between framework.started_at and framework.ended_at
        where framework.is_framework and not client.is_framework and framework.input_tokens is null
    ),

    -- of the records of one request, spans of clients say most, then those with the most tokens
    chosen_calls as (
        select
            arg_max(
                record_number, if(is_span, 2e12, 0) + if(is_framework, 0, 1e12) + coalesce(tokens(output_tokens), 0)
            ) as record_number
        from model_calls
        where record_number not in (from repetitions)
        group by line_id, event_id
    ),

    calls as (
        select
            *,
            tokens(total_tokens)
            - coalesce(tokens(input_tokens), 0)
            - coalesce(tokens(output_tokens), 0) as uncounted_tokens,
            coalesce(tokens(cache_read_tokens), 0) + coalesce(tokens(cache_write_tokens), 0) as cached_tokens,
            coalesce(tokens(reasoning_tokens), 0) as thinking_tokens
        from identified_records
        where record_number in (from chosen_calls)
    ),

    requests_of_calls as (
        select
            line_id,
            event_id,
            make_timestamptz(divide(started_at, 1000)) as occurred_at,
            (ended_at - started_at) / 1000000 as duration_ms,
            coalesce(
                number(seconds_to_first_token) * 1000,
                number(milliseconds_to_first_token),
                (nanoseconds(first_token_at) - started_at) / 1000000
            ) as time_to_first_token_ms,
            -- the AI SDK adds the API: openai.chat
            case when ai_operation is not null then split_part(provider, '.', 1) else provider end as provider,
            coalesce(response_model, requested_model) as model,
            requested_model,
            region,
            service_tier,
            coalesce(
                operation_name,
                request_type,
                case when kind = 'EMBEDDING' or ai_operation like '%.doEmbed' then 'embeddings' else 'chat' end
            ) as operation,
            endpoint,
            input_tokens,
            cache_read_tokens,
            cache_write_tokens,
            case
                when thinking_tokens > 0 and uncounted_tokens in (thinking_tokens, cached_tokens + thinking_tokens)
                then token_sum(output_tokens, reasoning_tokens)
                else output_tokens
            end as output_tokens,
            reasoning_tokens,
            -- older instrumentations of Anthropic report input tokens without cached tokens
            case
                when cached_tokens > 0 and uncounted_tokens in (cached_tokens, cached_tokens + thinking_tokens)
                then 'exclusive'
                else 'inclusive'
            end as token_convention,
            reported_cost_usd,
            user_id,
            session_id,
            service as app_name,
            environment,
            if(has_failed or error_type is not null, 'error', 'success') as status,
            error_type,
            error_message,
            trace_id,
            span_id,
            parent_span_id,
            object_of(
                concat_ws(
                    ',', members_of_tags(tag_list), members_of_metadata(metadata), members_of_properties(properties)
                )
            ) as tags
        from calls
    ),

    requests_of_claude_code as (
        select
            line_id,
            coalesce(
                attribute_of(attributes, 'request_id'),
                attribute_of(attributes, 'client_request_id'),
                digest(attributes, started_at)
            ) as event_id,
            make_timestamptz(divide(started_at, 1000)) as occurred_at,
            attribute_of(attributes, 'duration_ms') as duration_ms,
            attribute_of(attributes, 'ttft_ms') as time_to_first_token_ms,
            -- Claude Code can also be connected to other models
            case
                when attribute_of(attributes, 'model') like 'claude%@%'
                then 'gcp.vertex_ai'
                when attribute_of(attributes, 'model') like 'claude%'
                then 'anthropic'
            end as provider,
            attribute_of(attributes, 'model') as model,
            region,
            -- fast mode has prices of its own
            case when attribute_of(attributes, 'speed') = 'fast' then 'fast' end as service_tier,
            'chat' as operation,
            attribute_of(attributes, 'input_tokens') as input_tokens,
            attribute_of(attributes, 'cache_read_tokens') as cache_read_tokens,
            attribute_of(attributes, 'cache_creation_tokens') as cache_write_tokens,
            attribute_of(attributes, 'output_tokens') as output_tokens,
            'exclusive' as token_convention,
            coalesce(
                attribute_of(attributes, 'cost_usd'), micros(attribute_of(attributes, 'cost_usd_micros'))
            ) as reported_cost_usd,
            attribute_of(attributes, 'user.id') as user_id,
            attribute_of(attributes, 'session.id') as session_id,
            attribute_of(attributes, 'organization.id') as organization_id,
            coalesce(service, 'claude-code') as app_name,
            environment,
            if(event_name = 'api_error', 'error', 'success') as status,
            attribute_of(attributes, 'status_code') as error_type,
            attribute_of(attributes, 'error') as error_message,
            attribute_of(attributes, 'request_id') as request_id,
            json_merge_patch(
                '{}',
                json_object(
                    'user.email',
                    attribute_of(attributes, 'user.email'),
                    'user.account_uuid',
                    attribute_of(attributes, 'user.account_uuid'),
                    'query_source',
                    attribute_of(attributes, 'query_source'),
                    'effort',
                    attribute_of(attributes, 'effort')
                )
            ) as tags
        from named_logs
        where is_claude_code and event_name in ('api_request', 'api_error')
    ),

    requests_of_codex as (
        select
            line_id,
            coalesce(
                attribute_of(attributes, 'conversation.id')
                || '/'
                || attribute_of(attributes, 'event.timestamp')
                || '/'
                || attribute_of(attributes, 'input_token_count')
                || '/'
                || attribute_of(attributes, 'output_token_count'),
                digest(attributes, started_at)
            ) as event_id,
            make_timestamptz(divide(started_at, 1000)) as occurred_at,
            'openai' as provider,
            attribute_of(attributes, 'model') as model,
            region,
            'chat' as operation,
            attribute_of(attributes, 'input_token_count') as input_tokens,
            attribute_of(attributes, 'cached_token_count') as cache_read_tokens,
            attribute_of(attributes, 'cache_write_token_count') as cache_write_tokens,
            attribute_of(attributes, 'output_token_count') as output_tokens,
            attribute_of(attributes, 'reasoning_token_count') as reasoning_tokens,
            'inclusive' as token_convention,
            coalesce(attribute_of(attributes, 'user.email'), attribute_of(attributes, 'user.account_id')) as user_id,
            attribute_of(attributes, 'conversation.id') as session_id,
            'codex' as app_name,
            environment,
            attribute_of(attributes, 'originator') as component,
            'success' as status
        from named_logs
        where
            event_name in ('codex.sse_event', 'codex.websocket_event')
            and attribute_of(attributes, 'event.kind') = 'response.completed'
            -- Codex also logs the end of the stream, without tokens
            and attribute_of(attributes, 'input_token_count') is not null
    )

select *
from requests_of_calls
union all by name
select *
from requests_of_claude_code
union all by name
select *
from requests_of_codex
order by line_id
