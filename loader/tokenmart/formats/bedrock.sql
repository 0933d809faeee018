-- Model invocation logs of Amazon Bedrock, from S3 or CloudWatch.
create macro recognizes(line) as line ->> '$.schemaType' = 'ModelInvocationLog';

-- these ARNs do not contain the name of the model
create macro hides_model(id) as
    regexp_matches(id, ':(application-inference-profile|provisioned-model|imported-model|custom-model-deployment)/');

-- of a stream, outputBodyJson is an array of chunks, of which the last one has the metrics
create macro metric(body, of_response, of_converse_stream, of_stream) as
    coalesce(body ->> of_response, body ->> of_converse_stream, body ->> of_stream);

create type event as struct(
    schemaType varchar,
    "timestamp" varchar,
    accountId varchar,
    "identity" struct(arn varchar),
    region varchar,
    inferenceRegion varchar,
    requestId varchar,
    operation varchar,
    modelId varchar,
    input struct(
        inputTokenCount json,
        cacheReadInputTokenCount json,
        cacheWriteInputTokenCount json,
        inputBodyJson json,
        inputBodyS3Path varchar
    ),
    output struct(outputTokenCount json, outputBodyJson json, outputBodyS3Path varchar),
    requestMetadata json,
    errorCode varchar
);

with
    bodies as (select *, event.output.outputBodyJson as body from events),

    usages as (select *, coalesce(body -> '$.usage', body -> '$[0].message.usage') as usage from bodies)

select
    line_id,
    event.requestId as event_id,
    event.timestamp as occurred_at,
    metric(
        body,
        '$.metrics.latencyMs',
        '$[#-1].metadata.metrics.latencyMs',
        '$[#-1]."amazon-bedrock-invocationMetrics".invocationLatency'
    ) as duration_ms,
    body ->> '$[#-1]."amazon-bedrock-invocationMetrics".firstByteLatency' as time_to_first_token_ms,
    'aws.bedrock' as provider,
    case when not hides_model(event.modelId) then regexp_extract(event.modelId, '[^/]+$') end as model,
    event.modelId as requested_model,
    coalesce(event.inferenceRegion, event.region) as region,
    event.operation,
    event.input.inputTokenCount as input_tokens,
    event.input.cacheReadInputTokenCount as cache_read_tokens,
    event.input.cacheWriteInputTokenCount as cache_write_tokens,
    coalesce(
        usage -> '$.cache_creation.ephemeral_1h_input_tokens',
        list_sum(
            [
                part.inputTokens
                for part in from_json(usage -> '$.cacheDetails', '[{"ttl": "varchar", "inputTokens": "bigint"}]')
                if part.ttl = '1h'
            ]
        )
    ) as cache_write_1h_tokens,
    event.output.outputTokenCount as output_tokens,
    'exclusive' as token_convention,
    event.identity.arn as user_id,
    event.accountId as organization_id,
    event.requestMetadata ->> '$.team' as team,
    event.requestMetadata ->> '$.project' as project,
    case when event.errorCode is null then 'success' else 'error' end as status,
    event.errorCode as error_type,
    event.requestId as request_id,
    -- a request that a guardrail blocks is no error
    joined_json(
        'requestMetadata',
        event.requestMetadata,
        'guardrail',
        case
            when
                body ->> '$.stopReason' = 'guardrail_intervened'
                or body ->> '$."amazon-bedrock-guardrailAction"' = 'INTERVENED'
            then json_object('guardrail', 'intervened')
        end
    ) as tags,
    extra
from usages
where event.schemaType = 'ModelInvocationLog'
