"""Exports of OpenTelemetry become the expected rows: spans of model calls, and log records that report a request."""

import base64
import json
from decimal import Decimal
from typing import Any

import pytest

from parsing import Line, at, parsed, reasons, row

START = 1793525400123456789  # 2026-11-01 09:30:00.123456789
SECOND = 10**9
TRACE, OTHER_TRACE = "0af7651916cd43dd8448eb211c80319c", "1bf7651916cd43dd8448eb211c80319c"
OPENAI_SCOPE, LANGCHAIN_SCOPE = "opentelemetry.instrumentation.openai.v1", "openinference.instrumentation.langchain"
RESOURCE = {"service.name": "bot", "deployment.environment.name": "prod", "cloud.region": "eu-west-1"}

Rows = list[Line]


def value(x: Any) -> Line:
    """A value as the collector writes it: integers are texts."""
    if isinstance(x, dict):
        return x
    if isinstance(x, bool):
        return {"boolValue": x}
    if isinstance(x, int):
        return {"intValue": str(x)}
    if isinstance(x, float):
        return {"doubleValue": x}
    if isinstance(x, list):
        return {"arrayValue": {"values": [value(item) for item in x]}}
    return {"stringValue": x}


def attributes(values: Line) -> list[Line]:
    return [{"key": key, "value": value(x)} for key, x in values.items() if x is not None]


def span(number: int, values: Line, parent: int | None = None, trace: str = TRACE, **fields: Any) -> Line:
    """A span that begins `number` milliseconds after START and ends after a second."""
    start = START + number * 10**6
    return {
        "traceId": trace,
        "spanId": f"{number:016x}",
        "parentSpanId": "" if parent is None else f"{parent:016x}",
        "name": "span",
        "kind": 3,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + SECOND),
        "attributes": attributes(values),
        "status": {},
        **fields,
    }


def traces(*spans: Line, scope: str = OPENAI_SCOPE, resource: Line = RESOURCE, more: list[Line] | None = None) -> Line:
    """A line with these spans; `more` are the scopeSpans of other scopes."""
    scopes = [{"scope": {"name": scope, "version": "1"}, "spans": list(spans)}, *(more or [])]
    return {"resourceSpans": [{"resource": {"attributes": attributes(resource)}, "scopeSpans": scopes}]}


def of_scope(scope: str, *spans: Line) -> Line:
    return {"scope": {"name": scope}, "spans": list(spans)}


def logs(*records: Line, scope: str = "events", resource: Line = RESOURCE) -> Line:
    scopes = [{"scope": {"name": scope}, "logRecords": list(records)}]
    return {"resourceLogs": [{"resource": {"attributes": attributes(resource)}, "scopeLogs": scopes}]}


def log(values: Line, **fields: Any) -> Line:
    return {"timeUnixNano": str(START), "observedTimeUnixNano": str(START), "attributes": attributes(values), **fields}


def rows(*lines: Line) -> Rows:
    """The columns of all events that are not NULL, without a rejected line."""
    result = parsed("otel", *lines)
    assert result.rejected["reason"].to_pylist() == []
    return [{name: x for name, x in event.items() if x is not None} for event in result.events.to_pylist()]


def ids(*lines: Line) -> list[str]:
    return sorted(event["event_id"] for event in rows(*lines))


def span_ids(*lines: Line) -> list[int]:
    """The numbers of the spans that are requests."""
    return sorted(int(event["span_id"], 16) for event in rows(*lines))


CHAT: Line = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.response.id": "chatcmpl-1",
    "gen_ai.response.time_to_first_chunk": 0.25,
    "gen_ai.usage.input_tokens": 1200,
    "gen_ai.usage.cache_read.input_tokens": 1000,
    "gen_ai.usage.cache_creation.input_tokens": 50,
    "gen_ai.usage.output_tokens": 80,
    "gen_ai.usage.reasoning.output_tokens": 60,
    "gen_ai.openai.response.service_tier": "flex",
    "gen_ai.conversation.id": "s1",
    "user.id": "u1",
    "server.address": "api.openai.com",
    "gen_ai.input.messages": '[{"role": "user", "parts": [{"content": "Hello"}]}]',
}
OTEL = traces(span(1, CHAT, parent=7))


def chat(**changes: Any) -> Line:
    """Attributes of a call with other values, with _ for the last dot; None removes one."""
    return {**CHAT, "gen_ai.response.id": None, **changes}


def test_a_span_of_the_current_conventions_lands() -> None:
    assert row("otel", OTEL) == {
        "event_id": "chatcmpl-1",
        # 1 ms after START
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 124456),
        "duration_ms": 1000.0,
        "time_to_first_token_ms": 250.0,
        "provider": "openai",
        "model": "gpt-4o-2024-08-06",
        "requested_model": "gpt-4o",
        "region": "eu-west-1",
        "service_tier": "flex",
        "operation": "chat",
        "endpoint": "api.openai.com",
        "input_tokens": 1200,
        "cache_read_tokens": 1000,
        "cache_write_tokens": 50,
        "output_tokens": 80,
        "reasoning_tokens": 60,
        "token_convention": "inclusive",
        "user_id": "u1",
        "session_id": "s1",
        "app_name": "bot",
        "environment": "prod",
        "status": "success",
        "trace_id": TRACE,
        "span_id": "0000000000000001",
        "parent_span_id": "0000000000000007",
    }


OLDER: Line = {
    "llm.request.type": "chat",
    "gen_ai.system": "Anthropic",
    "gen_ai.request.model": "claude-sonnet-4-5",
    "gen_ai.response.model": "claude-sonnet-4-5-20250929",
    "gen_ai.usage.prompt_tokens": 1200,
    "gen_ai.usage.cache_read_input_tokens": 1000,
    "gen_ai.usage.cache_creation_input_tokens": 50,
    "gen_ai.usage.completion_tokens": 80,
    "gen_ai.usage.reasoning_tokens": 60,
    "traceloop.association.properties.user_id": "u1",
    "traceloop.association.properties.session_id": "s1",
    "traceloop.association.properties.customer": "acme",
    "traceloop.association.properties.seats": 12,
    "traceloop.association.properties.is_trial": True,
}
OPENINFERENCE: Line = {
    "openinference.span.kind": "LLM",
    "llm.provider": "openai",
    "llm.system": "openai",
    "llm.model_name": "gpt-4o-2024-08-06",
    "llm.token_count.prompt": 1200,
    "llm.token_count.prompt_details.cache_read": 1000,
    "llm.token_count.prompt_details.cache_write": 50,
    "llm.token_count.completion": 80,
    "llm.token_count.completion_details.reasoning": 60,
    "llm.token_count.total": 1280,
    "llm.cost.total": 0.0021,
    "session.id": "s1",
    "user.id": "u1",
    "metadata": '{"team": "ml"}',
    "tag.tags": ["beta", 'a "b"}', "new"],
    "input.value": "Hello",
}
AI_SDK: Line = {
    "ai.operationId": "ai.generateText.doGenerate",
    "gen_ai.system": "openai.chat",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 1200,
    "ai.usage.cachedInputTokens": 1000,
    "gen_ai.usage.output_tokens": 80,
    "ai.usage.reasoningTokens": 60,
    "ai.response.msToFirstChunk": 120.5,
    "ai.telemetry.metadata.customer": "acme",
}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (
            OLDER,
            {
                "provider": "Anthropic",
                "model": "claude-sonnet-4-5-20250929",
                "operation": "chat",
                "cache_write_tokens": 50,
                # booleans are left out
                "tags": {"user_id": "u1", "session_id": "s1", "customer": "acme", "seats": "12"},
            },
        ),
        (
            OPENINFERENCE,
            {
                "provider": "openai",
                "model": "gpt-4o-2024-08-06",
                "operation": "chat",
                "cache_write_tokens": 50,
                "reported_cost_usd": Decimal("0.0021"),
                # a tag with quotes is too unusual for a key
                "tags": {"beta": "true", "new": "true", "team": "ml"},
            },
        ),
        (
            AI_SDK,
            {
                "provider": "openai",
                "model": "gpt-4o-2024-08-06",
                "operation": "chat",
                "time_to_first_token_ms": 120.5,
                "tags": {"customer": "acme"},
            },
        ),
    ],
    ids=["older names and OpenLLMetry", "OpenInference", "AI SDK"],
)
def test_spans_under_other_names_land(values: Line, expected: Line) -> None:
    found = row("otel", traces(span(1, values)))
    assert {name: found[name] for name in expected} == expected
    assert found["event_id"] == f"{TRACE}/0000000000000001"
    counts = ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens")
    assert [found[name] for name in counts] == [1200, 1000, 80, 60]
    assert "extra" not in found


def test_an_embedding_of_openinference_lands() -> None:
    values = {"openinference.span.kind": "EMBEDDING", "embedding.model_name": "e-3", "llm.token_count.prompt": 9}
    found = row("otel", traces(span(1, values)))
    assert (found["operation"], found["model"], found["input_tokens"]) == ("embeddings", "e-3", 9)


def test_no_content_lands() -> None:
    for values in (CHAT, OPENINFERENCE):
        assert "Hello" not in json.dumps(rows(traces(span(1, values))), default=str)


def test_metadata_that_is_not_an_object_is_one_tag() -> None:
    for text, tags in (("beta", {"metadata": "beta"}), ('{"cut', None), ("{}", None)):
        assert row("otel", traces(span(1, {**OPENINFERENCE, "tag.tags": None, "metadata": text}))).get("tags") == tags


# ---------------------------------------------------------------- how values are written


@pytest.mark.parametrize("written", [{"intValue": "1200"}, {"intValue": 1200}, {"stringValue": "1200"}])
def test_numbers_are_texts_or_numbers(written: Line) -> None:
    line = traces(span(1, {**CHAT, "gen_ai.usage.input_tokens": written}))
    assert row("otel", line)["input_tokens"] == 1200


def test_times_are_texts_or_numbers() -> None:
    line = traces(span(0, CHAT, startTimeUnixNano=START, endTimeUnixNano=START + SECOND))
    found = row("otel", line)
    assert (found["occurred_at"], found["duration_ms"]) == (at(2026, 11, 1, 9, 30, 0, 123456), 1000.0)


def test_a_span_without_a_time_or_with_an_invalid_count_is_rejected() -> None:
    assert reasons("otel", traces(span(1, CHAT, startTimeUnixNano="0"))) == ["no timestamp"]
    negative = traces(span(1, {**CHAT, "gen_ai.usage.output_tokens": -1}))
    assert reasons("otel", negative) == ["output_tokens is negative"]


def test_ids_in_base64_are_decoded() -> None:
    trace, own, parent = (base64.b64encode(bytes.fromhex(x)).decode() for x in (TRACE, "0" * 15 + "1", "0" * 15 + "7"))
    encoded = span(1, CHAT, traceId=trace, spanId=own, parentSpanId=parent)
    found = row("otel", traces(encoded))
    assert (found["trace_id"], found["span_id"], found["parent_span_id"]) == (TRACE, "0" * 15 + "1", "0" * 15 + "7")


@pytest.mark.parametrize("parent", ["", "0000000000000000", None])
def test_a_span_without_a_parent(parent: str | None) -> None:
    assert "parent_span_id" not in row("otel", traces(span(1, CHAT, parentSpanId=parent)))


def test_attributes_without_a_value_are_ignored() -> None:
    odd = [{"key": "a", "value": {}}, {"key": "b"}, *attributes(CHAT), {"key": "c", "value": {"kvlistValue": {}}}]
    assert row("otel", traces(span(1, {}, attributes=odd)))["input_tokens"] == 1200
    empty = traces(span(1, {**CHAT, "gen_ai.response.id": "", "gen_ai.response.model": ""}))
    found = row("otel", empty)
    assert (found["event_id"], found["model"]) == (f"{TRACE}/0000000000000001", "gpt-4o")


def test_records_without_ids_have_ids_of_their_own() -> None:
    first, second = (span(number, chat(), traceId="", spanId="") for number in (1, 2))
    assert len(set(ids(traces(first, second)))) == 2
    assert ids(traces(first)) == ids(traces(first))


# ---------------------------------------------------------------- token conventions


@pytest.mark.parametrize(
    ("counts", "input_tokens", "convention"),
    [
        # more cached tokens than input tokens
        ({"input": 10, "output": 80, "read": 1000, "total": None}, 1010, "exclusive"),
        # the total includes the cached tokens in addition to the input tokens
        ({"input": 1200, "output": 80, "read": 1000, "total": 2280}, 2200, "exclusive"),
        ({"input": 1200, "output": 80, "read": 1000, "total": 1280}, 1200, "inclusive"),
        ({"input": 1200, "output": 80, "read": 1000, "total": None}, 1200, "inclusive"),
        ({"input": 1200, "output": 80, "read": 0, "total": 1280}, 1200, "inclusive"),
    ],
)
def test_the_total_tells_whether_input_includes_cached_tokens(counts: Line, input_tokens: int, convention: str) -> None:
    values = {
        **OLDER,
        "gen_ai.usage.prompt_tokens": counts["input"],
        "gen_ai.usage.completion_tokens": counts["output"],
        "gen_ai.usage.cache_read_input_tokens": counts["read"],
        "gen_ai.usage.cache_creation_input_tokens": None,
        "gen_ai.usage.reasoning_tokens": None,
        "llm.usage.total_tokens": counts["total"],
    }
    found = row("otel", traces(span(1, values)))
    assert (found["input_tokens"], found["token_convention"]) == (input_tokens, convention)


@pytest.mark.parametrize(("total", "output_tokens"), [(1280, 80), (1340, 140), (None, 80), (1300, 80)])
def test_the_total_tells_whether_output_includes_reasoning(total: int | None, output_tokens: int) -> None:
    # input 1,200, output 80, reasoning 60
    values = {**CHAT, "gen_ai.provider.name": "gcp.gemini", "gen_ai.usage.total_tokens": total}
    assert row("otel", traces(span(1, values)))["output_tokens"] == output_tokens


# ---------------------------------------------------------------- what is a request


@pytest.mark.parametrize(
    "values",
    [
        {"http.request.method": "GET"},
        {**CHAT, "gen_ai.operation.name": "invoke_agent"},
        {**CHAT, "gen_ai.operation.name": "execute_tool"},
        {**OPENINFERENCE, "openinference.span.kind": "CHAIN"},
        {**OPENINFERENCE, "openinference.span.kind": "AGENT"},
        {**AI_SDK, "ai.operationId": "ai.generateText"},
        {"traceloop.span.kind": "workflow", "gen_ai.usage.input_tokens": 5, "gen_ai.request.model": "m"},
        {"gen_ai.request.model": "m"},
        {"gen_ai.usage.input_tokens": 5},
    ],
)
def test_spans_that_are_no_model_calls_are_skipped(values: Line) -> None:
    assert rows(traces(span(1, values))) == []


@pytest.mark.parametrize("operation", ["chat", "text_completion", "generate_content", "embeddings", "responses"])
def test_spans_of_model_calls_are_requests(operation: str) -> None:
    assert [event["operation"] for event in rows(traces(span(1, chat() | {"gen_ai.operation.name": operation})))] == [
        operation
    ]


def test_a_span_with_a_model_and_tokens_is_a_request() -> None:
    values = {"gen_ai.request.model": "m", "gen_ai.usage.input_tokens": 5}
    assert [event["model"] for event in rows(traces(span(1, values)))] == ["m"]


def test_lines_without_requests_are_skipped() -> None:
    metric = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [{"name": "gen_ai.client.token.usage"}]}]}]}
    result = parsed("otel", metric, OTEL, traces(), logs(log({"event.name": "x"})), {"resourceSpans": "gen_ai."})
    assert (result.events["line_id"].to_pylist(), len(result.rejected)) == ([1], 0)


def test_a_line_has_several_requests_of_several_resources() -> None:
    one, two = traces(span(1, chat()), span(2, chat())), traces(span(3, chat()), resource={"service.name": "api"})
    line = {"resourceSpans": one["resourceSpans"] + two["resourceSpans"]}
    assert sorted((event["line_id"], event["app_name"], int(event["span_id"], 16)) for event in rows(line, two)) == [
        (0, "api", 3),
        (0, "bot", 1),
        (0, "bot", 2),
        (1, "api", 3),
    ]


def test_requests_are_in_the_order_of_their_lines() -> None:
    record = logs(log(API_REQUEST), **CLAUDE_CODE)
    lines = [record, OTEL, logs(log(CODEX)), record, OTEL]
    assert [event["line_id"] for event in rows(*lines)] == [0, 1, 2, 3, 4]


# ---------------------------------------------------------------- spans that repeat others


def test_parents_that_repeat_their_children_are_left_out() -> None:
    agent = span(1, {**chat(), "gen_ai.operation.name": "invoke_agent", "gen_ai.usage.input_tokens": 2400})
    line = traces(agent, span(2, chat(), parent=1), span(3, chat(), parent=1))
    assert span_ids(line) == [2, 3]


def test_of_nested_model_calls_the_innermost_is_the_request() -> None:
    # 1 is above 3 by way of 2, which is no model call; 4 has no model call below it
    line = traces(
        span(1, chat()),
        span(2, {"http.request.method": "POST"}, parent=1),
        span(3, chat(), parent=2),
        span(4, chat(), parent=2),
        span(5, {"http.request.method": "POST"}, parent=4),
    )
    assert span_ids(line) == [3, 4]


def test_spans_of_different_traces_are_not_nested() -> None:
    assert span_ids(traces(span(1, chat()), span(2, chat(), parent=1, trace=OTHER_TRACE))) == [1, 2]
    middle = span(2, {"http.request.method": "POST"}, parent=1)
    assert span_ids(traces(span(1, chat()), middle, span(3, chat(), parent=2, trace=OTHER_TRACE))) == [1, 3]
    assert [event["line_id"] for event in rows(traces(span(1, chat())), traces(span(2, chat(), parent=1)))] == [0, 1]


def test_a_span_that_is_its_own_parent_is_a_request() -> None:
    assert span_ids(traces(span(1, chat(), parent=1))) == [1]


@pytest.mark.parametrize("trace", [TRACE, OTHER_TRACE], ids=["same trace", "two traces"])
def test_the_span_of_a_framework_is_left_out_if_a_client_reports_the_call(trace: str) -> None:
    client = of_scope("openinference.instrumentation.openai", span(2, OPENINFERENCE, trace=trace))
    line = traces(span(1, OPENINFERENCE), scope=LANGCHAIN_SCOPE, more=[client])
    assert span_ids(line) == [2]


@pytest.mark.parametrize(
    ("changes", "fields"),
    [
        ({"llm.token_count.prompt": 1201}, {}),
        ({}, {"startTimeUnixNano": str(START - SECOND)}),
        ({}, {"startTimeUnixNano": str(START + 2 * SECOND)}),
        ({}, {"status": {"code": 2}}),
    ],
    ids=["other tokens", "begins before", "begins after", "failed"],
)
def test_the_span_of_a_framework_stays_if_the_client_reports_another_call(changes: Line, fields: Line) -> None:
    client = of_scope(OPENAI_SCOPE, span(2, {**OPENINFERENCE, **changes}, trace=OTHER_TRACE, **fields))
    assert span_ids(traces(span(1, OPENINFERENCE), scope=LANGCHAIN_SCOPE, more=[client])) == [1, 2]


def test_services_are_not_compared() -> None:
    framework = traces(span(1, OPENINFERENCE), scope=LANGCHAIN_SCOPE)["resourceSpans"]
    client = traces(span(2, OPENINFERENCE, trace=OTHER_TRACE), resource={"service.name": "api"})["resourceSpans"]
    assert span_ids({"resourceSpans": framework + client}) == [1, 2]


def test_the_span_of_a_framework_without_tokens_is_left_out_only_in_the_same_trace() -> None:
    unknown = {name: x for name, x in OPENINFERENCE.items() if not name.startswith("llm.token_count")}
    for trace, expected in ((TRACE, [2]), (OTHER_TRACE, [1, 2])):
        client = of_scope(OPENAI_SCOPE, span(2, OPENINFERENCE, trace=trace))
        assert span_ids(traces(span(1, unknown), scope=LANGCHAIN_SCOPE, more=[client])) == expected


def test_two_clients_are_not_compared() -> None:
    assert span_ids(traces(span(1, chat()), span(2, chat()))) == [1, 2]


def test_spans_with_the_same_response_are_one_request() -> None:
    # also if the tokens differ: OpenLLMetry counts one token more in streams of Anthropic
    framework, client = span(1, CHAT), span(2, {**CHAT, "gen_ai.usage.output_tokens": 79}, trace=OTHER_TRACE)
    line = traces(framework, scope=LANGCHAIN_SCOPE, more=[of_scope(OPENAI_SCOPE, client)])
    assert [(event["event_id"], event["output_tokens"]) for event in rows(line)] == [("chatcmpl-1", 79)]
    assert ids(traces(framework), traces(client)) == ["chatcmpl-1", "chatcmpl-1"]


def test_responses_with_different_ids_are_different_requests() -> None:
    client = of_scope(OPENAI_SCOPE, span(2, {**CHAT, "gen_ai.response.id": "chatcmpl-2"}, trace=OTHER_TRACE))
    assert ids(traces(span(1, CHAT), scope=LANGCHAIN_SCOPE, more=[client])) == ["chatcmpl-1", "chatcmpl-2"]


@pytest.mark.parametrize(
    "changes", [{"gen_ai.provider.name": "ollama"}, {"gen_ai.openai.api_base": "http://localhost:11434/v1"}]
)
def test_ids_of_ollamas_responses_do_not_identify_requests(changes: Line) -> None:
    line = traces(span(1, {**CHAT, **changes}), span(2, {**CHAT, **changes}))
    assert ids(line) == [f"{TRACE}/0000000000000001", f"{TRACE}/0000000000000002"]


# ---------------------------------------------------------------- errors


EXCEPTION = {
    "timeUnixNano": str(START),
    "name": "exception",
    "attributes": attributes({"exception.type": "openai.RateLimitError", "exception.message": "slow down"}),
}


@pytest.mark.parametrize(
    ("values", "fields", "error_type", "message"),
    [
        ({"error.type": "RateLimitError"}, {"status": {"code": 2, "message": "429"}}, "RateLimitError", "429"),
        ({}, {"status": {"code": "STATUS_CODE_ERROR"}, "events": [EXCEPTION]}, "openai.RateLimitError", "slow down"),
        ({}, {"status": {"code": "STATUS_CODE_ERROR", "message": "429"}}, None, "429"),
        ({"error.type": "500"}, {}, "500", None),
    ],
)
def test_a_failed_call_has_no_tokens(values: Line, fields: Line, error_type: str | None, message: str | None) -> None:
    failed = {"openinference.span.kind": "LLM", "llm.system": "openai", **values}
    found = row("otel", traces(span(1, failed, **fields)))
    assert (found["status"], found.get("error_type"), found.get("error_message")) == ("error", error_type, message)
    assert not {"model", "input_tokens", "output_tokens"} & found.keys()


@pytest.mark.parametrize("code", [0, 1, "STATUS_CODE_OK", None])
def test_a_call_with_another_status_is_a_success(code: Any) -> None:
    assert row("otel", traces(span(1, CHAT, status={"code": code})))["status"] == "success"


def test_the_first_token_of_openinference_is_an_event() -> None:
    first = {"timeUnixNano": str(START + 301 * 10**6), "name": "First Token Stream Event"}
    found = row("otel", traces(span(1, OPENINFERENCE, events=[{**EXCEPTION, "name": "x"}, first])))
    # the span begins 1 ms after START
    assert found["time_to_first_token_ms"] == 300.0


# ---------------------------------------------------------------- log records

DETAILS = "gen_ai.client.inference.operation.details"
API_REQUEST: Line = {
    "user.id": "u1",
    "user.email": "ada@example.com",
    "session.id": "s1",
    "organization.id": "o1",
    "event.name": "api_request",
    "model": "claude-sonnet-4-5",
    "input_tokens": 10,
    "output_tokens": 300,
    "cache_read_tokens": 50000,
    "cache_creation_tokens": 2000,
    "cost_usd": 0.0270000000000001,
    "cost_usd_micros": 27000,
    "duration_ms": 742,
    "ttft_ms": 129,
    "request_id": "req_1",
    "query_source": "sdk",
    "speed": "fast",
    "prompt": "Hello",
}
CLAUDE_CODE = {"scope": "com.anthropic.claude_code.events", "resource": {"service.name": "claude-code"}}
CODEX: Line = {
    "event.name": "codex.sse_event",
    "event.kind": "response.completed",
    "event.timestamp": "2026-11-01T09:30:00.123Z",
    "conversation.id": "c1",
    "originator": "codex_exec",
    "user.email": "ada@example.com",
    "model": "gpt-5.5",
    "input_token_count": "42000",
    "cached_token_count": 3400,
    "output_token_count": "200",
    "reasoning_token_count": 120,
    "tool_token_count": "42200",
}


@pytest.mark.parametrize("name", [{"eventName": DETAILS}, {"body": {"stringValue": DETAILS}}, {}])
def test_an_event_of_a_model_call_lands_under_the_id_of_its_span(name: Line) -> None:
    values = {**CHAT, "event.name": None if name else DETAILS}
    found = row("otel", logs(log(values, traceId=TRACE, spanId="0000000000000001", **name)))
    assert (found["event_id"], found["input_tokens"], found["app_name"]) == ("chatcmpl-1", 1200, "bot")
    unnamed = logs(log({**values, "gen_ai.response.id": None}, traceId=TRACE, spanId=f"{1:016x}", **name))
    assert ids(unnamed) == ids(traces(span(1, chat())))


def test_an_event_in_the_line_of_its_span_is_left_out() -> None:
    event = log({**chat(), "event.name": DETAILS, "gen_ai.usage.output_tokens": 90}, traceId=TRACE, spanId=f"{1:016x}")
    (found,) = rows({**traces(span(1, chat())), **logs(event)})
    assert found["output_tokens"] == 80


def test_an_event_with_only_content_is_skipped() -> None:
    values = {"event.name": DETAILS, "gen_ai.operation.name": "chat", "gen_ai.input.messages": "Hello"}
    assert rows(logs(log(values))) == []


def test_an_api_request_of_claude_code_lands() -> None:
    record = log(API_REQUEST, body={"stringValue": "claude_code.api_request"})
    assert row("otel", logs(record, **CLAUDE_CODE)) == {
        "event_id": "req_1",
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 123456),
        "duration_ms": 742.0,
        "time_to_first_token_ms": 129.0,
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "service_tier": "fast",
        "operation": "chat",
        # 10 uncached, 50,000 read from the cache, 2,000 written to it
        "input_tokens": 52010,
        "cache_read_tokens": 50000,
        "cache_write_tokens": 2000,
        "output_tokens": 300,
        "token_convention": "exclusive",
        "reported_cost_usd": Decimal("0.0270"),
        "user_id": "u1",
        "session_id": "s1",
        "organization_id": "o1",
        "app_name": "claude-code",
        "status": "success",
        "request_id": "req_1",
        "tags": {"user.email": "ada@example.com", "query_source": "sdk"},
    }


def test_an_early_version_of_claude_code_writes_numbers_as_texts() -> None:
    numbers = ("input_tokens", "output_tokens", "cost_usd", "duration_ms")
    early = {**API_REQUEST, **{name: str(API_REQUEST[name]) for name in numbers}, "request_id": None}
    record = log(early, body={"stringValue": "claude_code.api_request"})
    (found,) = rows(logs(record, scope="events"))
    assert (found["input_tokens"], found["output_tokens"], found["duration_ms"]) == (52010, 300, 742.0)
    # without an id of the request, different records have different ids
    assert len({found["event_id"], *ids(logs({**record, "timeUnixNano": str(START + 1)}, **CLAUDE_CODE))}) == 2


def test_the_input_of_claude_code_never_includes_cached_tokens() -> None:
    (found,) = rows(logs(log({**API_REQUEST, "input_tokens": 60000}), **CLAUDE_CODE))
    # 60,000 + 50,000 + 2,000
    assert found["input_tokens"] == 112000


def test_the_cost_of_claude_code_may_be_in_millionths() -> None:
    (found,) = rows(logs(log({**API_REQUEST, "cost_usd": None}), **CLAUDE_CODE))
    assert found["reported_cost_usd"] == Decimal("0.027")


def test_an_api_error_of_claude_code_lands() -> None:
    values = {"event.name": "api_error", "model": "claude-sonnet-4-5", "error": "Overloaded", "status_code": "529"}
    found = row("otel", logs(log(values), **CLAUDE_CODE))
    assert (found["status"], found["error_type"], found["error_message"]) == ("error", "529", "Overloaded")


def test_other_events_are_skipped() -> None:
    assert rows(logs(log({**API_REQUEST, "event.name": "tool_result"}), **CLAUDE_CODE)) == []
    # an api_request of another program
    assert rows(logs(log(API_REQUEST), resource={"service.name": "claude_code"})) == []


@pytest.mark.parametrize("event", ["codex.sse_event", "codex.websocket_event"])
def test_a_completed_response_of_codex_lands(event: str) -> None:
    record = log({**CODEX, "event.name": event}, timeUnixNano="0", eventName="event otel/src/events.rs:1")
    assert row("otel", logs(record)) == {
        "event_id": "c1/2026-11-01T09:30:00.123Z/42000/200",
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 123456),
        "provider": "openai",
        "model": "gpt-5.5",
        "region": "eu-west-1",
        "operation": "chat",
        "input_tokens": 42000,
        "cache_read_tokens": 3400,
        "output_tokens": 200,
        "reasoning_tokens": 120,
        "token_convention": "inclusive",
        "user_id": "ada@example.com",
        "session_id": "c1",
        "app_name": "codex",
        "environment": "prod",
        "component": "codex_exec",
        "status": "success",
    }


def test_events_of_codex_without_tokens_are_skipped() -> None:
    ended = {name: x for name, x in CODEX.items() if not name.endswith("_count")}
    assert rows(logs(log(ended), log({**CODEX, "event.kind": "response.created"}))) == []
