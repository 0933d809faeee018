"""Messages of Anthropic's API and results of its batches become the expected values. Their lines have no time."""

import json
from typing import Any

import pyarrow as pa
import pytest

from conftest import as_line
from parsing import Line, parser
from tokenmart.contract import FORMAT_COLUMNS
from tokenmart.formats import LINES
from tokenmart.recognition import counts

USAGE: Line = {
    "input_tokens": 3785,
    "cache_creation_input_tokens": 512,
    "cache_read_input_tokens": 1024,
    "cache_creation": {"ephemeral_5m_input_tokens": 112, "ephemeral_1h_input_tokens": 400},
    "output_tokens": 105,
    "output_tokens_details": {"thinking_tokens": 40},
    "service_tier": "standard",
    "server_tool_use": {"web_search_requests": 2},
}
ANTHROPIC: Line = {
    "id": "msg_01A",
    "type": "message",
    "role": "assistant",
    "model": "claude-sonnet-4-5-20250929",
    "content": [{"type": "text", "text": "Hi"}],
    "stop_reason": "end_turn",
    "usage": USAGE,
    "_request_id": "req_1",
}


def result(type_: str, **fields: Any) -> Line:
    """A line of the results of a batch."""
    return {"custom_id": "task-0", "result": {"type": type_, **fields}}


def values(*lines: Line) -> list[Line]:
    """What the format selects for these lines, before rows without a time are rejected."""
    used = parser()
    texts = pa.array([as_line(line).decode() for line in lines], pa.large_string())
    table = pa.table([pa.arange(0, len(lines)), texts, pa.repeat(True, len(lines))], schema=LINES)
    found = used.parse(used.format("anthropic"), table).select(list(FORMAT_COLUMNS)).to_pylist()
    return [{name: value for name, value in row.items() if value is not None} for row in found]


def value(line: Line) -> Line:
    """What the format selects for this line, except `extra`; tags decoded."""
    (found,) = values(line)
    return {name: json.loads(text) if name == "tags" else text for name, text in found.items() if name != "extra"}


def test_a_message_is_a_request() -> None:
    assert value(ANTHROPIC) == {
        "event_id": "msg_01A",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5-20250929",
        "service_tier": "standard",
        "operation": "chat",
        # 3,785 uncached, 1,024 read from the cache and 512 written to it
        "input_tokens": 5321,
        "cache_read_tokens": 1024,
        "cache_write_tokens": 512,
        "cache_write_1h_tokens": 400,
        "output_tokens": 105,
        "reasoning_tokens": 40,
        "web_search_requests": 2,
        "token_convention": "exclusive",
        "status": "success",
        "request_id": "req_1",
        "tags": {},
    }


def test_a_result_of_a_batch_is_the_same_request_with_the_batch_tier() -> None:
    message = {**ANTHROPIC, "usage": {**USAGE, "service_tier": "batch"}}
    del message["_request_id"]
    expected = {**value(message), "tags": {"custom_id": "task-0"}}
    assert value(result("succeeded", message=message)) == expected
    assert expected["service_tier"] == "batch"


def test_the_tier_of_a_result_without_a_tier_is_batch() -> None:
    message = {**ANTHROPIC, "usage": {"input_tokens": 3147, "output_tokens": 1831}}
    found = value(result("succeeded", message=message))
    assert (found["service_tier"], found["input_tokens"], found["output_tokens"]) == ("batch", 3147, 1831)
    assert "service_tier" not in value(message)


@pytest.mark.parametrize(("type_", "status"), [("errored", "error"), ("canceled", "cancelled"), ("expired", "timeout")])
def test_results_without_a_message_are_free(type_: str, status: str) -> None:
    found = value(result(type_))
    assert (found["status"], found["reported_cost_usd"], found["provider"]) == (status, 0, "anthropic")
    # the custom id is unique only within a batch
    assert found["tags"] == {"custom_id": "task-0"} and "event_id" not in found
    assert not {"input_tokens", "output_tokens"} & found.keys()


def test_an_errored_result_has_its_error() -> None:
    error = {"type": "error", "error": {"type": "invalid_request_error", "message": "x"}, "request_id": "req_2"}
    found = value(result("errored", error=error))
    assert (found["error_type"], found["error_message"], found["request_id"]) == ("invalid_request_error", "x", "req_2")


def test_no_content_of_a_message_is_selected() -> None:
    found = values(ANTHROPIC, result("succeeded", message=ANTHROPIC))
    assert ["end_turn" in row["extra"] for row in found] == [True, True]
    assert "Hi" not in str(found)


def test_a_message_has_no_reported_cost() -> None:
    assert "reported_cost_usd" not in value(ANTHROPIC)
    assert "reported_cost_usd" not in value(result("succeeded", message=ANTHROPIC))


@pytest.mark.parametrize(
    ("changes", "provider"),
    [
        ({"id": "msg_bdrk_01A"}, "aws.bedrock"),
        ({"id": "msg_vrtx_01A"}, "gcp.vertex_ai"),
        ({"model": "glm-4.6"}, None),
    ],
)
def test_the_provider_of_a_message_is_the_one_that_answered(changes: Line, provider: str | None) -> None:
    assert value({**ANTHROPIC, **changes}).get("provider") == provider


@pytest.mark.parametrize(
    ("usage", "writes", "one_hour_writes"),
    [
        # the flat count includes the split
        ({"cache_creation_input_tokens": 512}, 512, 400),
        # without the flat count, the two parts are the total
        ({"cache_creation_input_tokens": None}, 512, 400),
        ({"cache_creation_input_tokens": 512, "cache_creation": None}, 512, None),
    ],
)
def test_cache_writes_are_counted_once(usage: Line, writes: int, one_hour_writes: int | None) -> None:
    found = value({**ANTHROPIC, "usage": {**USAGE, **usage}})
    assert (found["cache_write_tokens"], found.get("cache_write_1h_tokens")) == (writes, one_hour_writes)
    assert found["input_tokens"] == 3785 + 1024 + writes


def test_fast_mode_is_a_service_tier() -> None:
    assert value({**ANTHROPIC, "usage": {**USAGE, "speed": "fast"}})["service_tier"] == "fast"
    assert value({**ANTHROPIC, "usage": {**USAGE, "speed": "standard"}})["service_tier"] == "standard"


def test_lines_that_are_no_messages_are_skipped() -> None:
    start = {"type": "message_start", "message": ANTHROPIC}
    delta = {"type": "message_delta", "usage": {"output_tokens": 105}}
    other = {"type": "error", "error": {"type": "overloaded_error", "message": "x"}}
    assert values(start, delta, other, {**ANTHROPIC, "usage": None}) == []


@pytest.mark.parametrize("line", [ANTHROPIC, result("succeeded", message=ANTHROPIC), result("expired")])
def test_only_this_format_recognizes_the_lines(line: Line) -> None:
    found = counts(parser(), [as_line(line).decode()])
    assert {name for name, matches in found.items() if matches} == {"anthropic"}


def test_results_of_openais_batches_are_not_recognized() -> None:
    line = as_line({"custom_id": "task-0", "response": {"status_code": 200, "body": {"type": "message"}}}).decode()
    assert counts(parser(), [line], ["anthropic"]) == {"anthropic": 0}
