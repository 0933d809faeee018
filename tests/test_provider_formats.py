"""Lines of Amazon Bedrock's and OpenAI's own logs become the expected rows."""

from typing import Any

import pytest

from parsing import Line, at, parsed, reasons, row

# ---------------------------------------------------------------- bedrock

PROFILE = "arn:aws:bedrock:us-east-1:111111111111:inference-profile/us.anthropic.claude-sonnet-4-5-20250929-v1:0"
BEDROCK: Line = {
    "schemaType": "ModelInvocationLog",
    "schemaVersion": "1.0",
    "timestamp": "2026-11-01T09:30:00Z",
    "accountId": "111111111111",
    "identity": {"arn": "arn:aws:sts::111111111111:assumed-role/api/ada"},
    "region": "us-east-1",
    "inferenceRegion": "us-east-2",
    "requestId": "r-1",
    "operation": "Converse",
    "modelId": PROFILE,
    "input": {
        "inputContentType": "application/json",
        "inputBodyJson": {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]},
        "inputTokenCount": 10,
        "cacheReadInputTokenCount": 3000,
        "cacheWriteInputTokenCount": 400,
    },
    "output": {
        "outputContentType": "application/json",
        "outputBodyJson": {
            "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
            "metrics": {"latencyMs": 302},
            "usage": {"inputTokens": 10, "cacheDetails": [{"ttl": "1h", "inputTokens": 300}, {"ttl": "5m"}]},
            "stopReason": "end_turn",
        },
        "outputTokenCount": 326,
    },
    "requestMetadata": {"team": "ml", "project": "search", "ticket": "T-1"},
}


def bedrock(body: Any = None, **fields: Any) -> Line:
    """A Bedrock line with another body of the response, or other fields."""
    output = {**BEDROCK["output"], "outputBodyJson": body} if body is not None else BEDROCK["output"]
    return {**BEDROCK, "output": output, **fields}


def test_a_bedrock_invocation_lands() -> None:
    assert row("bedrock", BEDROCK) == {
        "event_id": "r-1",
        "occurred_at": at(2026, 11, 1, 9, 30),
        "duration_ms": 302.0,
        "provider": "aws.bedrock",
        "model": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "requested_model": PROFILE,
        "region": "us-east-2",
        "operation": "Converse",
        # 10 uncached, 3,000 read from the cache, 400 written to it
        "input_tokens": 3410,
        "cache_read_tokens": 3000,
        "cache_write_tokens": 400,
        "cache_write_1h_tokens": 300,
        "output_tokens": 326,
        "token_convention": "exclusive",
        "user_id": "arn:aws:sts::111111111111:assumed-role/api/ada",
        "organization_id": "111111111111",
        "team": "ml",
        "project": "search",
        "status": "success",
        "request_id": "r-1",
        "tags": {"team": "ml", "project": "search", "ticket": "T-1"},
        "extra": {
            "schemaVersion": "1.0",
            "input.inputContentType": "application/json",
            "output.outputContentType": "application/json",
        },
    }


@pytest.mark.parametrize(
    ("body", "duration", "first_token"),
    [
        (
            [{"type": "x"}, {"amazon-bedrock-invocationMetrics": {"invocationLatency": 3848, "firstByteLatency": 509}}],
            3848.0,
            509.0,
        ),
        ([{"messageStart": {}}, {"metadata": {"metrics": {"latencyMs": 700}}}], 700.0, None),
        ({"output": {}}, None, None),
    ],
    ids=["stream", "converse stream", "no metrics"],
)
def test_latencies_of_bedrock_come_from_the_body(body: Any, duration: float | None, first_token: float | None) -> None:
    found = row("bedrock", bedrock(body))
    assert (found.get("duration_ms"), found.get("time_to_first_token_ms")) == (duration, first_token)


def test_one_hour_cache_writes_of_a_bedrock_stream_land() -> None:
    usage = {"cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 300}}
    found = row("bedrock", bedrock([{"type": "message_start", "message": {"usage": usage}}, {"type": "message_stop"}]))
    assert (found["cache_write_tokens"], found["cache_write_1h_tokens"]) == (400, 300)


@pytest.mark.parametrize(
    ("model_id", "model"),
    [
        ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic.claude-3-haiku-20240307-v1:0"),
        ("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0", "amazon.nova-lite-v1:0"),
        ("arn:aws:bedrock:us-east-1:1:application-inference-profile/abc", None),
        ("arn:aws:bedrock:us-east-1:1:provisioned-model/abc", None),
    ],
)
def test_the_model_of_bedrock_is_the_end_of_its_arn(model_id: str, model: str | None) -> None:
    found = row("bedrock", bedrock(modelId=model_id))
    assert (found.get("model"), found["requested_model"]) == (model, model_id)


def test_a_failed_bedrock_invocation_has_no_tokens() -> None:
    line = bedrock(errorCode="ThrottlingException", input={"inputContentType": "application/json"}, output={})
    found = row("bedrock", line)
    assert (found["status"], found["error_type"]) == ("error", "ThrottlingException")
    assert not {"input_tokens", "output_tokens"} & found.keys()


def test_a_request_that_a_guardrail_blocks_is_tagged_and_no_error() -> None:
    found = row("bedrock", bedrock({"stopReason": "guardrail_intervened"}, requestMetadata=None))
    assert (found["status"], found["tags"]) == ("success", {"guardrail": "intervened"})


def test_lines_of_bedrock_that_are_no_invocations_are_skipped() -> None:
    permission = {"message": "Permissions are correctly set for Amazon Bedrock logs."}
    result = parsed("bedrock", permission, BEDROCK)
    assert (result.events["line_id"].to_pylist(), len(result.rejected)) == ([1], 0)


# ---------------------------------------------------------------- openai

OPENAI: Line = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1793525400,
    "model": "gpt-4o-2024-08-06",
    "service_tier": "default",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi"}, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 3351,
        "completion_tokens": 359,
        "total_tokens": 3710,
        "prompt_tokens_details": {"cached_tokens": 1024, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 64},
    },
    "metadata": {"customer": "acme"},
}
RESPONSE: Line = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1793525400.5,
    "status": "completed",
    "model": "gpt-5.6",
    "service_tier": "flex",
    "error": None,
    "incomplete_details": None,
    "user": "ada",
    "conversation": {"id": "conv_1"},
    "previous_response_id": "resp_0",
    "output": [{"type": "message", "content": [{"text": "Hi"}]}],
    "usage": {
        "input_tokens": 18004,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1000},
        "output_tokens": 23142,
        "output_tokens_details": {"reasoning_tokens": 10432},
    },
}


def batch(body: Line | None, **fields: Any) -> Line:
    """A line of the output of a batch with this body."""
    response = None if body is None else {"status_code": 200, "request_id": "r1", "body": body}
    return {"id": "batch_req_1", "custom_id": "task-0", "response": response, "error": None, **fields}


def test_a_chat_completion_lands() -> None:
    assert row("openai", OPENAI) == {
        "event_id": "chatcmpl-1",
        "occurred_at": at(2026, 11, 1, 9, 30),
        "provider": "openai",
        "model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "operation": "chat",
        "input_tokens": 3351,
        "cache_read_tokens": 1024,
        "output_tokens": 359,
        "reasoning_tokens": 64,
        "token_convention": "inclusive",
        "status": "success",
        "tags": {"customer": "acme"},
    }


def test_a_response_lands() -> None:
    assert row("openai", RESPONSE) == {
        "event_id": "resp_1",
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 500000),
        "provider": "openai",
        "model": "gpt-5.6",
        "service_tier": "flex",
        "operation": "responses",
        "input_tokens": 18004,
        "cache_read_tokens": 4,
        "cache_write_tokens": 1000,
        "output_tokens": 23142,
        "reasoning_tokens": 10432,
        "token_convention": "inclusive",
        "user_id": "ada",
        "session_id": "conv_1",
        "status": "success",
        "tags": {"previous_response_id": "resp_0"},
    }


def test_the_output_of_a_batch_has_the_batch_tier() -> None:
    found = row("openai", batch(OPENAI))
    assert (found["event_id"], found["service_tier"], found["request_id"]) == ("chatcmpl-1", "batch", "r1")
    assert (found["input_tokens"], found["tags"]) == (3351, {"customer": "acme", "custom_id": "task-0"})


@pytest.mark.parametrize(
    ("changes", "status", "error_type"),
    [
        ({"status": "failed", "error": {"code": "server_error", "message": "x"}}, "error", "server_error"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "error", "max_output_tokens"),
        ({"status": "cancelled"}, "cancelled", None),
    ],
)
def test_the_status_of_a_response_that_is_not_complete(changes: Line, status: str, error_type: str | None) -> None:
    found = row("openai", {**RESPONSE, **changes})
    assert (found["status"], found.get("error_type")) == (status, error_type)


def test_responses_without_usage_are_skipped() -> None:
    chunk = {**OPENAI, "object": "chat.completion.chunk", "usage": None}
    result = parsed("openai", {**RESPONSE, "status": "in_progress", "usage": None}, chunk, {**chunk, "usage": USAGE})
    assert result.events["line_id"].to_pylist() == [2]
    assert result.events["output_tokens"].to_pylist() == [5]


USAGE = {"prompt_tokens": 7, "completion_tokens": 5}


def test_a_failed_request_of_a_batch_has_no_time() -> None:
    expired = batch(None, error={"code": "batch_expired", "message": "x"})
    assert reasons("openai", expired) == ["no timestamp"]
