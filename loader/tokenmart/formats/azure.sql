-- Requests to models through Azure API Management (GatewayLogs and GatewayLlmLogs), and request logs of Azure OpenAI.
--
-- A line is a record of a diagnostic setting, or a row of Log Analytics: of AzureDiagnostics, with columns such as
-- url_s, or of ApiManagementGatewayLogs or ApiManagementGatewayLlmLog, with columns such as Url.
--
-- GatewayLogs and GatewayLlmLogs with the same correlation id are one request, but the marts keep one line of it. In
-- this order, they keep:
-- 1. GatewayLogs of a response from the gateway's cache, because it is not billed
-- 2. GatewayLogs whose response body was logged and has the tokens: no column is missing
-- 3. GatewayLlmLogs with tokens: duration, status, error, user, project, operation, endpoint and tags are missing
-- 4. GatewayLogs without tokens: tokens and model are missing
--
-- RequestResponse never has tokens. It repeats the requests that a gateway sends to Azure OpenAI, with other ids.
--
-- Seen in real logs: GatewayLogs and RequestResponse of diagnostic settings. Reported by people who read their logs:
-- the columns of GatewayLogs in AzureDiagnostics; that GatewayLlmLogs has the tokens in the record with
-- sequenceNumber 0; and promptCachedTokens, which ApiManagementGatewayLlmLog does not have. Only documented: the
-- columns of the two tables, and cache. Assumed: userId, and the columns of GatewayLlmLogs in AzureDiagnostics.
create macro recognizes(line) as
    (
        json_exists(line, '$.properties')
        or json_exists(line, '$.correlationId')
        or json_exists(line, '$.correlationId_g')
        or json_exists(line, '$.CorrelationId')
    )
    and (
        coalesce(line ->> '$.category', line ->> '$.Category')
        in ('GatewayLogs', 'GatewayLlmLogs', 'RequestResponse')
        or line ->> '$.Type' in ('ApiManagementGatewayLogs', 'ApiManagementGatewayLlmLog')
        or json_exists(line, '$.CompletionTokens')
        and json_exists(line, '$.DeploymentName')
        or json_exists(line, '$.ApiId')
        and json_exists(line, '$.BackendTime')
    );

create macro category_of(line) as
    coalesce(
        nullif(line ->> '$.category', ''),
        nullif(line ->> '$.Category', ''),
        case
            when line ->> '$.Type' = 'ApiManagementGatewayLlmLog' or json_exists(line, '$.CompletionTokens')
            then 'GatewayLlmLogs'
            else 'GatewayLogs'
        end
    );

-- Log Analytics writes '' if there is no value
create macro first_given(x, y, z) as coalesce(nullif(x, ''), nullif(y, ''), nullif(z, ''));

-- a gateway also logs the requests to APIs that are no models
create macro calls_model(urls) as
    regexp_matches(
        urls,
        '/openai/|/deployments/|/((chat/)?completions|embeddings|images/generations|v1/(responses|messages))(\?| |$)'
    );

-- names of fields are case-insensitive, so some columns of Log Analytics (Category) are read from the line
create type event as struct(
    "time" varchar,
    category varchar,
    correlationId varchar,
    operationName varchar,
    durationMs json,
    resultSignature varchar,
    isRequestSuccess varchar,
    location varchar,
    properties json,

    TimeGenerated varchar,
    correlationId_g varchar,
    properties_s json,
    isRequestSuccess_b varchar,
    region_s varchar,
    apiId_s varchar,
    operationId_s varchar,
    apimSubscriptionId_s varchar,
    productId_s varchar,
    userId_s varchar,
    method_s varchar,
    url_s varchar,
    backendUrl_s varchar,
    responseCode_d varchar,
    backendResponseCode_d varchar,
    totalTime_d json,
    cache_s varchar,
    lastError_reason_s varchar,
    lastError_message_s varchar,
    backendResponseBody_s json,
    responseBody_s json,
    backendRequestBody_s json,
    requestBody_s json,
    requestId_s varchar,
    modelName_s varchar,
    deploymentName_s varchar,
    promptTokens_d varchar,
    promptCachedTokens_d varchar,
    completionTokens_d varchar,
    totalTokens_d varchar,
    requestMessages_s json,
    responseMessages_s json,

    Type varchar,
    Region varchar,
    ApiId varchar,
    OperationId varchar,
    ApimSubscriptionId varchar,
    ProductId varchar,
    UserId varchar,
    Method varchar,
    Url varchar,
    BackendUrl varchar,
    ResponseCode varchar,
    BackendResponseCode varchar,
    TotalTime json,
    Cache varchar,
    LastErrorReason varchar,
    LastErrorMessage varchar,
    BackendResponseBody json,
    ResponseBody json,
    BackendRequestBody json,
    RequestBody json,
    RequestId varchar,
    ModelName varchar,
    DeploymentName varchar,
    PromptTokens varchar,
    CompletionTokens varchar,
    TotalTokens varchar,
    RequestMessages json,
    ResponseMessages json
);

with
    records as (
        select
            *,
            category_of(line) as category,
            from_json(coalesce(json_object_in(event.properties), json_object_in(event.properties_s)), '{
                    "correlationId": "varchar",
                    "apiId": "varchar",
                    "operationId": "varchar",
                    "apimSubscriptionId": "varchar",
                    "productId": "varchar",
                    "userId": "varchar",
                    "method": "varchar",
                    "url": "varchar",
                    "backendUrl": "varchar",
                    "responseCode": "varchar",
                    "backendResponseCode": "varchar",
                    "cache": "varchar",
                    "lastError": {"reason": "varchar", "message": "varchar"},
                    "backendResponseBody": "json",
                    "responseBody": "json",
                    "requestId": "varchar",
                    "modelName": "varchar",
                    "deploymentName": "varchar",
                    "promptTokens": "varchar",
                    "promptCachedTokens": "varchar",
                    "completionTokens": "varchar",
                    "apiName": "varchar",
                    "modelDeploymentName": "varchar",
                    "objectId": "varchar"
                }') as properties
        from events
    ),

    fields as (
        select
            *,
            coalesce(
                nullif(event.correlationId, ''),
                nullif(line ->> '$.CorrelationId', ''),
                nullif(event.correlationId_g, ''),
                properties.correlationId
            ) as correlation_id,
            first_given(properties.url, event.url_s, event.Url) as url,
            first_given(properties.backendUrl, event.backendUrl_s, event.BackendUrl) as backend_url,
            coalesce(
                first_given(properties.responseCode, event.responseCode_d, event.ResponseCode),
                first_given(event.resultSignature, line ->> '$.ResultSignature', null)
            ) as code,
            lower(
                first_given(event.isRequestSuccess, event.isRequestSuccess_b, line ->> '$.IsRequestSuccess')
            ) as is_success,
            first_given(properties.modelName, event.modelName_s, event.ModelName) as model,
            coalesce(
                first_given(properties.deploymentName, event.deploymentName_s, event.DeploymentName),
                nullif(properties.modelDeploymentName, '')
            ) as deployment,
            first_given(properties.promptTokens, event.promptTokens_d, event.PromptTokens) as prompt_tokens,
            first_given(
                properties.completionTokens, event.completionTokens_d, event.CompletionTokens
            ) as completion_tokens,
            coalesce(
                json_object_in(coalesce(properties.backendResponseBody, event.backendResponseBody_s)),
                json_object_in(event.BackendResponseBody),
                json_object_in(coalesce(properties.responseBody, event.responseBody_s)),
                json_object_in(event.ResponseBody)
            ) as body
        from records
    ),

    parts as (
        select
            *,
            concat_ws(' ', url, backend_url) as urls,
            json_object_in(body -> '$.usage') as usage,
            case
                when number(code) >= 400 or is_success = 'false'
                then 'error'
                when code is not null or is_success is not null
                then 'success'
            end as status,
            -- the other records of a request have its messages, and counts of 0
            coalesce(number(prompt_tokens) <> 0, prompt_tokens is not null)
            or coalesce(number(completion_tokens) <> 0, completion_tokens is not null) as has_counts,
            lower(first_given(properties.cache, event.cache_s, event.Cache)) = 'hit'
            and coalesce(
                number(
                    first_given(properties.backendResponseCode, event.backendResponseCode_d, event.BackendResponseCode)
                ),
                0
            )
            = 0 as is_cache_hit
        from fields
    )

select
    line_id,
    -- in RequestResponse, different requests can have the same correlation id
    case when category <> 'RequestResponse' then correlation_id end as event_id,
    case
        when category = 'RequestResponse'
        then null
        when is_cache_hit
        then 4
        when usage is not null
        then 3
        when has_counts
        then 2
        when category = 'GatewayLogs'
        then 1
        else 0
    end as snapshot_version,
    utc_timestamp(coalesce(event.time, event.TimeGenerated)) as occurred_at,
    coalesce(event.durationMs, line -> '$.DurationMs', event.totalTime_d, event.TotalTime) as duration_ms,
    'azure' as provider,
    coalesce(model, body ->> '$.model') as model,
    coalesce(deployment, nullif(regexp_extract(urls, '/deployments/([^/? ]+)', 1), '')) as requested_model,
    coalesce(first_given(event.location, line ->> '$.Location', event.region_s), nullif(event.Region, '')) as region,
    body ->> '$.service_tier' as service_tier,
    case
        when category = 'RequestResponse'
        then first_given(event.operationName, line ->> '$.OperationName', null)
        else first_given(properties.operationId, event.operationId_s, event.OperationId)
    end as operation,
    nullif(regexp_extract(url, '^\w+://[^/]+(/[^?]*)', 1), '') as endpoint,
    case
        when usage is not null
        then coalesce(usage ->> '$.prompt_tokens', usage ->> '$.input_tokens')
        when has_counts
        then prompt_tokens
    end as input_tokens,
    case
        when usage is not null
        then
            coalesce(
                usage ->> '$.prompt_tokens_details.cached_tokens',
                usage ->> '$.input_tokens_details.cached_tokens',
                usage ->> '$.cache_read_input_tokens'
            )
        when has_counts
        then first_given(properties.promptCachedTokens, event.promptCachedTokens_d, null)
    end as cache_read_tokens,
    usage ->> '$.cache_creation_input_tokens' as cache_write_tokens,
    usage ->> '$.cache_creation.ephemeral_1h_input_tokens' as cache_write_1h_tokens,
    case
        when usage is not null
        then coalesce(usage ->> '$.completion_tokens', usage ->> '$.output_tokens')
        when has_counts
        then completion_tokens
    end as output_tokens,
    coalesce(
        usage ->> '$.completion_tokens_details.reasoning_tokens', usage ->> '$.output_tokens_details.reasoning_tokens'
    ) as reasoning_tokens,
    case
        when lower(coalesce(model, body ->> '$.model')) like 'claude%' then 'exclusive' else 'inclusive'
    end as token_convention,
    case when is_cache_hit then false end as is_billed,
    coalesce(first_given(properties.userId, event.userId_s, event.UserId), nullif(properties.objectId, '')) as user_id,
    first_given(properties.apiId, event.apiId_s, event.ApiId) as project,
    status,
    case
        when status = 'error'
        then
            coalesce(
                nullif(body ->> '$.error.code', ''),
                first_given(properties.lastError.reason, event.lastError_reason_s, event.LastErrorReason),
                code
            )
    end as error_type,
    case
        when status = 'error'
        then
            coalesce(
                nullif(body ->> '$.error.message', ''),
                first_given(properties.lastError.message, event.lastError_message_s, event.LastErrorMessage)
            )
    end as error_message,
    coalesce(
        first_given(properties.requestId, event.requestId_s, event.RequestId), body ->> '$.id', correlation_id
    ) as request_id,
    nullif(
        json_merge_patch(
            '{}',
            json_object(
                'subscription_id',
                first_given(properties.apimSubscriptionId, event.apimSubscriptionId_s, event.ApimSubscriptionId),
                'product_id',
                first_given(properties.productId, event.productId_s, event.ProductId)
            )
        ),
        '{}'
    ) as tags,
    case
        when extra is not null
        then
            nullif(
                json_merge_patch(
                    extra,
                    json_object(
                        'Category',
                        null,
                        'CorrelationId',
                        null,
                        'OperationName',
                        null,
                        'DurationMs',
                        null,
                        'ResultSignature',
                        null,
                        'IsRequestSuccess',
                        null,
                        'Location',
                        null
                    )
                ),
                '{}'
            )
    end as extra
from parts
where
    category = 'GatewayLogs'
    and (usage is not null or calls_model(urls))
    and coalesce(upper(first_given(properties.method, event.method_s, event.Method)), 'POST') = 'POST'
    or category = 'GatewayLlmLogs'
    and (has_counts or coalesce(model, deployment) is not null)
    or category = 'RequestResponse'
    and (coalesce(model, deployment) is not null or properties.apiName ilike '%openai%')
