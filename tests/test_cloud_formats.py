"""Lines of the clouds' own logs, of Azure and of Vertex AI, become the expected rows."""

import datetime as dt
import json
from typing import Any

import pytest

from conftest import as_line
from parsing import Line, at, parsed, parser, reasons, row
from test_gateway_formats import LITELLM, OPENROUTER, SPEND
from test_opencode_format import OPENCODE
from test_provider_formats import BEDROCK, OPENAI, RESPONSE, batch
from tokenmart.recognition import counts

# ---------------------------------------------------------------- azure

USAGE: Line = {
    "prompt_tokens": 3351,
    "completion_tokens": 359,
    "prompt_tokens_details": {"cached_tokens": 1024},
    "completion_tokens_details": {"reasoning_tokens": 64},
}
BODY: Line = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "model": "gpt-4o-2024-08-06",
    "choices": [{"message": {"role": "assistant", "content": "Hi"}}],
    "usage": USAGE,
}
URL = "https://gateway.example/llm/openai/deployments/chat/chat/completions?api-version=2024-06-01"
PROPERTIES: Line = {
    "method": "POST",
    "url": URL,
    "backendUrl": "https://backend.example/openai/deployments/chat/chat/completions",
    "responseCode": 200,
    "backendResponseCode": 200,
    "backendTime": 1190,
    "cache": "none",
    "apiId": "llm",
    "operationId": "ChatCompletions_Create",
    "apimSubscriptionId": "sub-1",
    "productId": "starter",
    "userId": "ada",
}
GATEWAY: Line = {
    "time": "2026-11-01T09:30:00.1234567Z",
    "category": "GatewayLogs",
    "correlationId": "c-1",
    "operationName": "Microsoft.ApiManagement/GatewayLogs",
    "durationMs": 1200,
    "isRequestSuccess": True,
    "resultType": "Succeeded",
    "location": "East US",
    "callerIpAddress": "192.0.2.1",
    "properties": PROPERTIES,
}
LLM: Line = {
    "time": "2026-11-01T09:30:00.1234567Z",
    "category": "GatewayLlmLogs",
    "correlationId": "c-1",
    "operationName": "Microsoft.ApiManagement/GatewayLlmLogs",
    "location": "East US",
    "properties": {
        "correlationId": "c-1",
        "requestId": "chatcmpl-1",
        "modelName": "gpt-4o-2024-08-06",
        "deploymentName": "chat",
        "sequenceNumber": 0,
        "isStreamCompletion": False,
        "promptTokens": 3351,
        "promptCachedTokens": 1024,
        "completionTokens": 359,
        "totalTokens": 3710,
    },
}
REQUEST: Line = {
    "time": "2026-11-01T09:30:00.1234567Z",
    "category": "RequestResponse",
    "correlationId": "c-2",
    "operationName": "ChatCompletions_Create",
    "durationMs": 1021,
    "resultSignature": "200",
    "location": "eastus",
    "properties": {
        "apiName": "Azure OpenAI API version 2024-06-01",
        "requestTime": 638662266001234567,
        "responseTime": 638662266011444567,
        "requestLength": 128,
        "objectId": "",
        "streamType": "Non-Streaming",
        "modelDeploymentName": "chat",
        "modelName": "gpt-4o",
        "modelVersion": "2024-08-06",
    },
}
GATEWAY_ROW: Line = {
    "event_id": "c-1",
    "occurred_at": at(2026, 11, 1, 9, 30, 0, 123456),
    "duration_ms": 1200.0,
    "provider": "azure",
    "requested_model": "chat",
    "region": "East US",
    "operation": "ChatCompletions_Create",
    "endpoint": "/llm/openai/deployments/chat/chat/completions",
    "token_convention": "inclusive",
    "snapshot_version": 1,
    "user_id": "ada",
    "project": "llm",
    "status": "success",
    "request_id": "c-1",
    "tags": {"subscription_id": "sub-1", "product_id": "starter"},
}
LLM_ROW: Line = {
    "event_id": "c-1",
    "occurred_at": at(2026, 11, 1, 9, 30, 0, 123456),
    "provider": "azure",
    "model": "gpt-4o-2024-08-06",
    "requested_model": "chat",
    "region": "East US",
    "input_tokens": 3351,
    "cache_read_tokens": 1024,
    "output_tokens": 359,
    "token_convention": "inclusive",
    "snapshot_version": 2,
    "request_id": "chatcmpl-1",
}


def changed(line: Line, properties: Line, **fields: Any) -> Line:
    """A line of Azure with other properties or other fields."""
    return {**line, "properties": {**line["properties"], **properties}, **fields}


def gateway(body: Any, **properties: Any) -> Line:
    """A line of GatewayLogs with this body of the response."""
    return changed(GATEWAY, {"backendResponseBody": body if isinstance(body, str) else json.dumps(body), **properties})


def kept(*lines: Line) -> Line:
    """The row that the marts keep of these lines of one request."""
    events = parsed("azure", *lines).events.to_pylist()
    assert len({event["event_id"] for event in events}) == 1

    def rank(event: Line) -> tuple[int, int]:
        return event["snapshot_version"], -1 if event["output_tokens"] is None else event["output_tokens"]

    ranks = sorted(map(rank, events))
    assert len(ranks) == 1 or ranks[-1] > ranks[-2]
    return max(events, key=rank)


def without_extra(found: Line) -> Line:
    """The row without `extra`."""
    return {name: value for name, value in found.items() if name != "extra"}


def test_a_request_of_the_gateway_lands() -> None:
    found = row("azure", GATEWAY)
    assert found == {**GATEWAY_ROW, "extra": {"resultType": "Succeeded", "callerIpAddress": "192.0.2.1"}}


def test_tokens_of_the_gateways_model_log_land() -> None:
    assert row("azure", LLM) == LLM_ROW


def test_a_logged_body_has_the_tokens() -> None:
    assert without_extra(row("azure", gateway(BODY))) == {
        **GATEWAY_ROW,
        "model": "gpt-4o-2024-08-06",
        "input_tokens": 3351,
        "cache_read_tokens": 1024,
        "output_tokens": 359,
        "reasoning_tokens": 64,
        "snapshot_version": 3,
        "request_id": "chatcmpl-1",
    }


def test_a_body_that_is_cut_has_no_tokens() -> None:
    found = row("azure", gateway(json.dumps(BODY)[:-40]))
    assert without_extra(found) == GATEWAY_ROW


def test_a_body_of_claude_counts_cached_tokens_separately() -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 3000,
        "cache_creation_input_tokens": 400,
        "cache_creation": {"ephemeral_1h_input_tokens": 300},
        "output_tokens": 50,
    }
    found = row("azure", gateway({"id": "msg_1", "type": "message", "model": "claude-sonnet-4-5", "usage": usage}))
    assert (found["input_tokens"], found["cache_read_tokens"], found["output_tokens"]) == (3410, 3000, 50)
    assert (found["cache_write_tokens"], found["cache_write_1h_tokens"]) == (400, 300)


@pytest.mark.parametrize(
    ("model", "prompt", "cached", "input_tokens"),
    [
        ("gpt-4o", 3000, 1000, 3000),
        ("claude-sonnet-4-5", 3000, 1000, 4000),
        ("claude-sonnet-4-5", 26, 48854, 48880),
    ],
)
def test_the_model_log_counts_cached_tokens_of_claude_separately(
    model: str, prompt: int, cached: int, input_tokens: int
) -> None:
    counted = {"modelName": model, "promptTokens": prompt, "promptCachedTokens": cached}
    assert row("azure", changed(LLM, counted))["input_tokens"] == input_tokens


# the other records of a request have parts of its messages
MESSAGES: Line = {
    **{key: LLM[key] for key in ("time", "category", "correlationId", "location")},
    "properties": {
        "sequenceNumber": 1,
        "modelName": "",
        "deploymentName": "",
        "promptTokens": 0,
        "completionTokens": 0,
        "requestMessages": '[{"role":"user","content":"Hello"}]',
    },
}


def test_records_with_the_messages_of_a_request_are_skipped() -> None:
    result = parsed("azure", MESSAGES, LLM)
    assert (result.events["line_id"].to_pylist(), len(result.rejected)) == ([1], 0)


def test_counts_of_0_are_unknown() -> None:
    found = row("azure", changed(LLM, {"promptTokens": 0, "promptCachedTokens": 0, "completionTokens": 0}))
    assert not {"input_tokens", "cache_read_tokens", "output_tokens"} & found.keys()
    assert found["snapshot_version"] == 0


def test_of_one_request_the_line_with_the_tokens_is_kept() -> None:
    found = kept(GATEWAY, LLM, MESSAGES)
    assert (found["input_tokens"], found["output_tokens"], found["duration_ms"]) == (3351, 359, None)


def test_a_gateway_log_with_the_tokens_is_kept_because_it_has_all_columns() -> None:
    found = kept(gateway(BODY), LLM)
    assert (found["output_tokens"], found["duration_ms"], found["user_id"]) == (359, 1200.0, "ada")


def test_requests_without_output_tokens_keep_their_input_tokens() -> None:
    embeddings = changed(LLM, {"promptTokens": 7, "promptCachedTokens": 0, "completionTokens": 0})
    found = kept(GATEWAY, embeddings)
    assert (found["input_tokens"], found["output_tokens"]) == (7, 0)


def test_a_failed_request_keeps_its_error() -> None:
    failed = changed(GATEWAY, {"responseCode": 429, "backendResponseCode": 429}, isRequestSuccess=False)
    nothing = {"promptTokens": 0, "promptCachedTokens": 0, "completionTokens": 0}
    found = kept(failed, changed(LLM, nothing))
    assert (found["status"], found["error_type"], found["input_tokens"]) == ("error", "429", None)


def test_a_response_from_the_gateways_cache_is_not_billed() -> None:
    cached = changed(GATEWAY, {"cache": "hit", "backendResponseCode": None})
    assert kept(cached, LLM)["is_billed"] is False


@pytest.mark.parametrize("properties", [{"cache": "miss", "backendResponseCode": None}, {"cache": "hit"}])
def test_a_response_of_the_backend_is_billed(properties: Line) -> None:
    assert "is_billed" not in row("azure", changed(GATEWAY, properties))


@pytest.mark.parametrize(
    ("properties", "body", "error_type", "message"),
    [
        (
            {"responseCode": 400},
            {"error": {"code": "content_filter", "message": "filtered"}},
            "content_filter",
            "filtered",
        ),
        (
            {"responseCode": 500, "lastError": {"reason": "BackendConnectionFailure", "message": "no backend"}},
            {},
            "BackendConnectionFailure",
            "no backend",
        ),
        ({"responseCode": 401}, {}, "401", None),
    ],
    ids=["body", "last error", "code"],
)
def test_errors_of_the_gateway(properties: Line, body: Line, error_type: str, message: str | None) -> None:
    found = row("azure", gateway(body, **properties))
    assert (found["status"], found["error_type"], found.get("error_message")) == ("error", error_type, message)


def test_requests_to_other_apis_of_the_gateway_are_skipped() -> None:
    orders = changed(GATEWAY, {"url": "https://gateway.example/orders/1", "backendUrl": "https://b.example/orders/1"})
    files = changed(GATEWAY, {"url": "https://gateway.example/openai/files", "method": "GET"})
    renamed = changed(GATEWAY, {"url": "https://gateway.example/ask", "backendUrl": "https://b.example/v1/messages"})
    assert parsed("azure", orders, files, renamed).events["line_id"].to_pylist() == [2]


# rows of Log Analytics have empty texts instead of missing ones
GATEWAY_COLUMNS: Line = {
    "TimeGenerated": "2026-11-01T09:30:00.1234567Z",
    "Category": "GatewayLogs",
    "CorrelationId": "c-1",
    "OperationName": "Microsoft.ApiManagement/GatewayLogs",
    "IsRequestSuccess": True,
    "ApiId": "llm",
    "OperationId": "ChatCompletions_Create",
    "ApimSubscriptionId": "sub-1",
    "ProductId": "starter",
    "UserId": "ada",
    "Method": "POST",
    "Url": URL,
    "BackendUrl": "https://backend.example/openai/deployments/chat/chat/completions",
    "ResponseCode": 200,
    "BackendResponseCode": 200,
    "BackendTime": 1190,
    "TotalTime": 1200,
    "Cache": "none",
    "Region": "East US",
    "LastErrorReason": "",
    "BackendResponseBody": "",
    "Type": "ApiManagementGatewayLogs",
}
GATEWAY_DIAGNOSTICS: Line = {
    "TimeGenerated": "2026-11-01T09:30:00.1234567Z",
    "Category": "GatewayLogs",
    "CorrelationId": "c-1",
    "OperationName": "Microsoft.ApiManagement/GatewayLogs",
    "DurationMs": 1200,
    "isRequestSuccess_b": True,
    "apiId_s": "llm",
    "operationId_s": "ChatCompletions_Create",
    "apimSubscriptionId_s": "sub-1",
    "productId_s": "starter",
    "userId_s": "ada",
    "method_s": "POST",
    "url_s": URL,
    "backendUrl_s": "https://backend.example/openai/deployments/chat/chat/completions",
    "responseCode_d": 200,
    "backendResponseCode_d": 200,
    "cache_s": "none",
    "region_s": "East US",
    "lastError_reason_s": "",
    "Type": "AzureDiagnostics",
}
LLM_COLUMNS: Line = {
    "TimeGenerated": "2026-11-01T09:30:00.1234567Z",
    "CorrelationId": "c-1",
    "OperationName": "Microsoft.ApiManagement/GatewayLlmLogs",
    "RequestId": "chatcmpl-1",
    "ModelName": "gpt-4o-2024-08-06",
    "DeploymentName": "chat",
    "SequenceNumber": 0,
    "PromptTokens": 3351,
    "CompletionTokens": 359,
    "TotalTokens": 3710,
    "Region": "East US",
    "RequestMessages": [{"role": "user", "content": "Hello"}],
}
LLM_DIAGNOSTICS: Line = {
    "TimeGenerated": "2026-11-01T09:30:00.1234567Z",
    "Category": "GatewayLlmLogs",
    "correlationId_g": "c-1",
    "requestId_s": "chatcmpl-1",
    "modelName_s": "gpt-4o-2024-08-06",
    "deploymentName_s": "chat",
    "promptTokens_d": 3351.0,
    "completionTokens_d": 359.0,
    "region_s": "East US",
}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (GATEWAY_COLUMNS, GATEWAY_ROW),
        ({**GATEWAY_COLUMNS, "Type": None, "Category": None}, GATEWAY_ROW),
        (GATEWAY_DIAGNOSTICS, GATEWAY_ROW),
        (LLM_COLUMNS, {**LLM_ROW, "cache_read_tokens": None}),
        ({**LLM_COLUMNS, "Type": "ApiManagementGatewayLlmLog"}, {**LLM_ROW, "cache_read_tokens": None}),
        (LLM_DIAGNOSTICS, {**LLM_ROW, "cache_read_tokens": None}),
    ],
)
def test_rows_of_log_analytics_are_the_same_requests(line: Line, expected: Line) -> None:
    found = without_extra(row("azure", line))
    assert found == {name: value for name, value in expected.items() if value is not None}


def test_prompts_and_mapped_columns_are_not_in_extra() -> None:
    body = json.dumps({**BODY, "usage": None})
    line = {**GATEWAY_COLUMNS, "BackendResponseBody": body, "RequestBody": body, "ApiRevision": "1"}
    assert row("azure", line)["extra"] == {"BackendTime": 1190, "ApiRevision": "1"}
    assert parsed("azure", line).omitted.to_pylist() == []


def test_empty_texts_of_log_analytics_are_unknown() -> None:
    found = row("azure", {**GATEWAY_COLUMNS, "ProductId": "", "UserId": ""})
    assert (found["tags"], found.get("user_id")) == ({"subscription_id": "sub-1"}, None)


def test_a_time_of_azure_without_a_zone_is_in_utc() -> None:
    found = row("azure", {**LLM_COLUMNS, "TimeGenerated": "2026-11-01T09:30:00"}, time_zone="Europe/Berlin")
    assert found["occurred_at"] == at(2026, 11, 1, 9, 30)


def test_a_request_log_of_azure_openai_has_latency_and_no_tokens() -> None:
    expected = {
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 123456),
        "duration_ms": 1021.0,
        "provider": "azure",
        "model": "gpt-4o",
        "requested_model": "chat",
        "region": "eastus",
        "operation": "ChatCompletions_Create",
        "token_convention": "inclusive",
        "status": "success",
        # different requests can have the same correlation id, so it is no event_id
        "request_id": "c-2",
    }
    assert row("azure", REQUEST) == expected
    assert row("azure", {**REQUEST, "properties": json.dumps(REQUEST["properties"])}) == expected
    diagnostics = {
        "TimeGenerated": REQUEST["time"],
        "Category": "RequestResponse",
        "CorrelationId": "c-2",
        "OperationName": "ChatCompletions_Create",
        "DurationMs": 1021,
        "ResultSignature": "200",
        "Location": "eastus",
        "properties_s": json.dumps(REQUEST["properties"]),
    }
    assert row("azure", diagnostics) == expected


def test_a_failed_request_of_azure_openai() -> None:
    found = row("azure", changed(REQUEST, {"objectId": "u-1"}, resultSignature="429"))
    assert (found["status"], found["error_type"], found["user_id"]) == ("error", "429", "u-1")


def test_a_negative_duration_is_unknown() -> None:
    result = parsed("azure", {**REQUEST, "durationMs": -1021})
    assert result.events["duration_ms"].to_pylist() == [None]
    assert result.omitted.to_pylist()[0]["key"] == "duration_ms"


def test_requests_to_other_services_are_skipped() -> None:
    speech = {**REQUEST, "properties": {"apiName": "Speech to Text"}}
    thread = {**REQUEST, "properties": {"apiName": "Azure OpenAI API version 2024-06-01"}}
    assert parsed("azure", speech, thread).events["line_id"].to_pylist() == [1]


def test_a_negative_token_count_of_azure_is_rejected() -> None:
    assert reasons("azure", changed(LLM, {"promptTokens": -1})) == ["input_tokens is negative"]


# ---------------------------------------------------------------- vertex

GEMINI_USAGE: Line = {
    "promptTokenCount": 11000,
    "cachedContentTokenCount": 9000,
    "toolUsePromptTokenCount": 200,
    "candidatesTokenCount": 80,
    "thoughtsTokenCount": 40,
    "totalTokenCount": 11320,
    "trafficType": "ON_DEMAND",
}
GEMINI_RESPONSE: Line = {
    "candidates": [{"content": {"role": "model", "parts": [{"text": "Hi"}]}, "finishReason": "STOP"}],
    "createTime": "2026-11-01T09:30:00.123456Z",
    "modelVersion": "gemini-2.5-pro",
    "responseId": "r-1",
    "usageMetadata": GEMINI_USAGE,
}
NAME = "projects/care/locations/us-central1/publishers/google/models/gemini-2.5-pro"
VERTEX: Line = {
    "endpoint": None,
    "deployed_model_id": None,
    "logging_time": "2026-11-01 09:30:11.5 UTC",
    "request_id": "5374205265901353984",
    "request_payload": [],
    "response_payload": [],
    "model": "publishers/google/models/gemini-2.5-pro",
    "model_version": "default",
    "api_method": "GenerateContent",
    "full_request": {
        "model": NAME,
        "contents": [{"role": "user", "parts": [{"text": "Hello"}]}],
        "labels": {"team": "ml", "step": "draft"},
    },
    "full_response": GEMINI_RESPONSE,
    "metadata": {"request_latency": 11225.994},
    "otel_log": None,
}
CLAUDE_RESPONSE: Line = {
    "id": "msg_vrtx_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Hi"}],
    "usage": {
        "input_tokens": 2000,
        "cache_read_input_tokens": 1024,
        "cache_creation_input_tokens": 512,
        "cache_creation": {"ephemeral_5m_input_tokens": 212, "ephemeral_1h_input_tokens": 300},
        "output_tokens": 105,
        "server_tool_use": {"web_search_requests": 2},
    },
}
CLAUDE: Line = {
    **VERTEX,
    "model": "publishers/anthropic/models/claude-sonnet-4-5@20250929",
    "api_method": "RawPredict",
    "full_request": {"messages": [{"role": "user", "content": "Hello"}]},
    "full_response": CLAUDE_RESPONSE,
}
GEMINI_BATCH: Line = {
    "status": "",
    "processed_time": "2026-11-01T09:30:00.352+00:00",
    "request": {"contents": [{"role": "user", "parts": [{"text": "Hello"}]}], "labels": {"customer": "acme"}},
    "response": GEMINI_RESPONSE,
}
CLAUDE_BATCH: Line = {
    "custom_id": "task-0",
    "request": {"messages": [{"role": "user", "content": "Hello"}]},
    "response": CLAUDE_RESPONSE,
    "status": "",
    "processed_time": "2026-11-01T09:30:00.352+00:00",
}


def gemini(usage: Line | None = None, **response: Any) -> Line:
    """A row of the logging with another usage or another response."""
    return {
        **VERTEX,
        "full_response": {**GEMINI_RESPONSE, "usageMetadata": {**GEMINI_USAGE, **(usage or {})}, **response},
    }


def test_a_request_to_gemini_lands() -> None:
    expected = {
        "event_id": "5374205265901353984",
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 123456),
        "duration_ms": 11225.994,
        "provider": "gcp.vertex_ai",
        "model": "gemini-2.5-pro",
        "requested_model": "gemini-2.5-pro",
        "region": "us-central1",
        "service_tier": "on_demand",
        "operation": "GenerateContent",
        # 11,000 of the prompt, of which 9,000 are cached, and 200 of tools
        "input_tokens": 11200,
        "cache_read_tokens": 9000,
        # 80 of the candidates and 40 of thoughts
        "output_tokens": 120,
        "reasoning_tokens": 40,
        "token_convention": "inclusive",
        "team": "ml",
        "project": "care",
        "status": "success",
        "request_id": "r-1",
        "tags": {"team": "ml", "step": "draft"},
        "extra": {"model_version": "default"},
    }
    assert row("vertex", VERTEX) == expected
    texts = {name: json.dumps(VERTEX[name]) for name in ("full_request", "full_response", "metadata")}
    assert row("vertex", {**VERTEX, **texts}) == expected


def test_without_a_time_in_the_response_the_time_of_logging_counts() -> None:
    assert row("vertex", gemini(createTime=None))["occurred_at"] == at(2026, 11, 1, 9, 30, 11, 500000)


def test_a_time_of_vertex_without_a_zone_is_in_utc() -> None:
    line = {**gemini(createTime=None), "logging_time": "2026-11-01 09:30:11"}
    assert row("vertex", line, time_zone="Europe/Berlin")["occurred_at"] == at(2026, 11, 1, 9, 30, 11)


def test_the_version_of_a_model_is_not_its_default() -> None:
    assert row("vertex", gemini(modelVersion="gemini-2.0-flash-001@default"))["model"] == "gemini-2.0-flash-001"


@pytest.mark.parametrize(
    ("traffic", "tier"),
    [
        ("ON_DEMAND_PRIORITY", "priority"),
        ("ON_DEMAND_FLEX", "flex"),
        ("PROVISIONED_THROUGHPUT", "provisioned_throughput"),
        ("TRAFFIC_TYPE_UNSPECIFIED", None),
        (None, None),
    ],
)
def test_the_service_tier_of_gemini_is_its_traffic_type(traffic: str | None, tier: str | None) -> None:
    found = row("vertex", gemini({"trafficType": traffic}))
    assert found.get("service_tier") == tier
    # throughput that is paid by time is used all the same
    assert "is_billed" not in found and found["input_tokens"] == 11200


def test_of_a_stream_the_last_chunk_counts() -> None:
    chunk = {**GEMINI_RESPONSE, "usageMetadata": {"promptTokenCount": 12345}}
    found = row("vertex", {**VERTEX, "full_response": json.dumps([chunk, GEMINI_RESPONSE])})
    assert (found["input_tokens"], found["output_tokens"]) == (11200, 120)


def test_a_request_to_claude_lands() -> None:
    assert without_extra(row("vertex", CLAUDE)) == {
        "event_id": "5374205265901353984",
        "occurred_at": at(2026, 11, 1, 9, 30, 11, 500000),
        "duration_ms": 11225.994,
        "provider": "gcp.vertex_ai",
        "model": "claude-sonnet-4-5-20250929",
        "requested_model": "claude-sonnet-4-5@20250929",
        "operation": "RawPredict",
        # 2,000 uncached, 1,024 read from the cache, 512 written to it
        "input_tokens": 3536,
        "cache_read_tokens": 1024,
        "cache_write_tokens": 512,
        "cache_write_1h_tokens": 300,
        "output_tokens": 105,
        "web_search_requests": 2,
        "token_convention": "exclusive",
        "status": "success",
        "request_id": "msg_vrtx_1",
    }


def test_a_failed_request_to_vertex_has_no_tokens() -> None:
    error = {"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "slow down"}}
    found = row("vertex", {**VERTEX, "full_response": error})
    assert (found["status"], found["error_type"], found["error_message"]) == (
        "error",
        "RESOURCE_EXHAUSTED",
        "slow down",
    )
    assert found["model"] == "gemini-2.5-pro" and "input_tokens" not in found


def test_a_batch_has_the_batch_tier_although_its_response_says_on_demand() -> None:
    assert row("vertex", GEMINI_BATCH) == {
        "event_id": "r-1",
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 123456),
        "provider": "gcp.vertex_ai",
        "model": "gemini-2.5-pro",
        "service_tier": "batch",
        "input_tokens": 11200,
        "cache_read_tokens": 9000,
        "output_tokens": 120,
        "reasoning_tokens": 40,
        "token_convention": "inclusive",
        "status": "success",
        "request_id": "r-1",
        "tags": {"customer": "acme"},
    }


def test_a_batch_of_claude_has_the_batch_tier() -> None:
    found = row("vertex", CLAUDE_BATCH)
    assert (found["event_id"], found["service_tier"], found["tags"]) == ("msg_vrtx_1", "batch", {"custom_id": "task-0"})
    assert (found["input_tokens"], found["output_tokens"]) == (3536, 105)
    assert found["occurred_at"] == at(2026, 11, 1, 9, 30) + dt.timedelta(milliseconds=352)


FAILURE = 'Bad Request: {"error": {"code": 400, "message": "Use a valid role.", "status": "INVALID_ARGUMENT"}}'


@pytest.mark.parametrize(
    ("status", "error_type", "message"),
    [(FAILURE, "INVALID_ARGUMENT", "Use a valid role."), ("Internal: try again", "Internal", "Internal: try again")],
)
def test_a_failed_request_of_a_vertex_batch_is_an_error(status: str, error_type: str, message: str) -> None:
    line = {key: value for key, value in GEMINI_BATCH.items() if key != "response"}
    found = row("vertex", {**line, "status": status, "request": {"model": NAME}})
    assert (found["status"], found["error_type"], found["error_message"]) == ("error", error_type, message)


def test_a_failed_request_of_a_batch_without_a_model_is_an_error() -> None:
    failed = row("vertex", {**GEMINI_BATCH, "status": FAILURE, "response": {}})
    assert (failed.get("model"), failed["error_type"]) == (None, "INVALID_ARGUMENT")


def test_requests_of_a_batch_without_a_result_are_skipped() -> None:
    waiting = {**GEMINI_BATCH, "response": {}}
    result = parsed("vertex", waiting, GEMINI_BATCH)
    assert (result.events["line_id"].to_pylist(), len(result.rejected)) == ([1], 0)


# ---------------------------------------------------------------- recognition

AZURE_LINES = {
    "gateway": GATEWAY,
    "gateway columns": GATEWAY_COLUMNS,
    "gateway diagnostics": GATEWAY_DIAGNOSTICS,
    "llm": LLM,
    "llm columns": LLM_COLUMNS,
    "llm diagnostics": LLM_DIAGNOSTICS,
    "request": REQUEST,
    "table": {"TimeGenerated": "2026-11-01T09:30:00Z", "CorrelationId": "c-1", "Type": "ApiManagementGatewayLogs"},
}
VERTEX_LINES = {
    "gemini": VERTEX,
    "claude": CLAUDE,
    "gemini batch": GEMINI_BATCH,
    "claude batch": CLAUDE_BATCH,
    "failed batch": {key: value for key, value in GEMINI_BATCH.items() if key != "response"},
}
OTHER_LINES: dict[str, list[Line]] = {
    "bedrock": [BEDROCK],
    "litellm": [LITELLM, SPEND],
    "openai": [OPENAI, RESPONSE, batch(OPENAI), batch(None)],
    "opencode": [OPENCODE],
    "openrouter": [OPENROUTER],
}


@pytest.mark.parametrize(
    ("name", "line"),
    [
        *[("azure", line) for line in AZURE_LINES.values()],
        *[("vertex", line) for line in VERTEX_LINES.values()],
        *[(name, line) for name, lines in OTHER_LINES.items() for line in lines],
    ],
)
def test_a_line_is_recognized_by_one_format(name: str, line: Line) -> None:
    found = counts(parser(), [as_line(line).decode()])
    assert [other for other, matches in found.items() if matches] == [name]


@pytest.mark.parametrize(
    "line",
    [
        {"category": "Audit", "correlationId": "c-1", "time": "2026-11-01T09:30:00Z", "properties": {}},
        {"category": "RequestResponse"},
        {"request": {"contents": []}},
        {"status": "", "processed_time": "2026-11-01T09:30:00Z"},
    ],
)
def test_other_lines_of_the_clouds_are_not_recognized(line: Line) -> None:
    assert not any(counts(parser(), [as_line(line).decode()]).values())
