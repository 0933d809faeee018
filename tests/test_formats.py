"""Lines become the expected rows, column by column; formats are recognized, and custom formats are checked."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from conftest import as_lines, new_reader
from parsing import Line, at, parsed, parser, reasons, row
from test_agent_formats import counted, message, tokens, usage
from test_anthropic_format import ANTHROPIC
from test_cloud_formats import GATEWAY, VERTEX
from test_gateway_formats import LITELLM, OPENROUTER
from test_observability_formats import HELICONE, LANGFUSE
from test_opencode_format import OPENCODE
from test_otel_format import OTEL
from test_provider_formats import BEDROCK, OPENAI
from tokenmart import formats
from tokenmart.errors import UsageError
from tokenmart.files import find
from tokenmart.formats import Parser
from tokenmart.recognition import counts
from tokenmart.results import LoadResult
from tokenmart.unmapped import Keep

# ---------------------------------------------------------------- tokenledger

TOKENLEDGER: Line = {
    **{"event_id": "7b1e", "trace_id": "t1", "span_id": "p1", "parent_span_id": "p0"},
    **{
        "timestamp": "2026-11-01T09:30:00+00:00",
        "duration_ms": 812.4,
        "provider": "openai",
        "model": "gpt-4o",
    },
    **{
        "input_tokens": 1200,
        "output_tokens": 80,
        "total_tokens": 1280,
        "cached_tokens": 1000,
        "cost_usd": 0.0022,
    },
    **{
        "endpoint": "https://api.openai.com/v1/chat",
        "request_type": "chat",
        "user_id": "u1",
        "session_id": "s1",
    },
    **{"organization_id": "o1", "app_name": "api", "environment": "prod", "status": "error"},
    **{"error_type": "RateLimitError", "error_message": "slow down", "metadata": '{"k": 1}'},
    **{"request_preview": "Hello", "response_preview": "Hi", "feature": "search", "page": "/find"},
    **{"component": "box", "team": "ml", "project": "p", "cost_center": "cc", "metadata_extra": None},
}
TOKENLEDGER_ROW: Line = {
    "event_id": "7b1e",
    "occurred_at": at(2026, 11, 1, 9, 30),
    "duration_ms": 812.4,
    "provider": "openai",
    "model": "gpt-4o",
    "operation": "chat",
    "endpoint": "https://api.openai.com/v1/chat",
    "input_tokens": 1200,
    "cache_read_tokens": 1000,
    "output_tokens": 80,
    "token_convention": "inclusive",
    "reported_cost_usd": Decimal("0.0022"),
    "user_id": "u1",
    "session_id": "s1",
    "organization_id": "o1",
    "team": "ml",
    "project": "p",
    "cost_center": "cc",
    "app_name": "api",
    "environment": "prod",
    "feature": "search",
    "page": "/find",
    "component": "box",
    "status": "error",
    "error_type": "RateLimitError",
    "error_message": "slow down",
    "trace_id": "t1",
    "span_id": "p1",
    "parent_span_id": "p0",
    "tags": {"k": 1},
}
NEW_IN_TOKENLEDGER = (
    *("feature", "page", "component", "team", "project", "cost_center", "metadata_extra"),
    "cached_tokens",
)


def test_a_tokenledger_event_lands() -> None:
    assert row("tokenledger", TOKENLEDGER) == TOKENLEDGER_ROW


def test_a_tokenledger_event_lands_with_its_content_on_request() -> None:
    expected = {**TOKENLEDGER_ROW, "request_preview": "Hello", "response_preview": "Hi"}
    assert row("tokenledger", TOKENLEDGER, keep=Keep(content=True)) == expected


def test_an_event_of_an_old_tokenledger_version_lands() -> None:
    old = {name: value for name, value in TOKENLEDGER.items() if name not in NEW_IN_TOKENLEDGER}
    assert len(old) == 25
    missing = {*NEW_IN_TOKENLEDGER, "cache_read_tokens"}
    assert row("tokenledger", old) == {name: TOKENLEDGER_ROW[name] for name in TOKENLEDGER_ROW.keys() - missing}


@pytest.mark.parametrize(
    ("provider", "input_tokens", "cached_tokens", "landed", "convention"),
    [
        ("openai", 20212, 16298, 20212, "inclusive"),
        ("google", 100, 100, 100, "inclusive"),
        (None, 100, 40, 100, "inclusive"),
        ("anthropic", 100, 40, 140, "exclusive"),
        ("Anthropic", 100, 40, 140, "exclusive"),
        ("anthropic", 10, 50000, 50010, "exclusive"),
        ("openai", 10, 50000, 50010, "exclusive"),
    ],
)
def test_cached_tokens_of_tokenledger_follow_the_provider(
    provider: str | None, input_tokens: int, cached_tokens: int, landed: int, convention: str
) -> None:
    line = {**TOKENLEDGER, "provider": provider, "input_tokens": input_tokens, "cached_tokens": cached_tokens}
    event = row("tokenledger", line)
    assert (event["input_tokens"], event["cache_read_tokens"]) == (landed, cached_tokens)
    assert event["token_convention"] == convention


@pytest.mark.parametrize("cost", [-0.0001, -3])
def test_a_negative_cost_of_tokenledger_is_ignored(cost: float) -> None:
    assert "reported_cost_usd" not in row("tokenledger", {**TOKENLEDGER, "cost_usd": cost})


@pytest.mark.parametrize(
    ("metadata", "metadata_extra", "tags"),
    [
        ({"k": 1}, None, {"k": 1}),
        ('{"k": 1}', None, {"k": 1}),
        (None, {"k": 1}, {"k": 1}),
        (None, '{"k": 1}', {"k": 1}),
        ({"k": 1, "a": 1}, {"k": 2, "b": 2}, {"k": 2, "a": 1, "b": 2}),
        ('{"k": 1, "a": 1}', '{"k": 2, "b": 2}', {"k": 2, "a": 1, "b": 2}),
        ({"k": 1, "a": 1}, '{"k": 2, "b": 2}', {"k": 2, "a": 1, "b": 2}),
        ({"a": {"b": 1}}, {"a": {"c": 2}}, {"a.b": 1, "a.c": 2}),
        ({"k": "é \U0001f600 \"'\\ "}, None, {"k": "é \U0001f600 \"'\\ "}),
        ({}, None, {}),
        ("no object", None, {"tags": "no object"}),
        ("no object", {"k": 1}, {"metadata": "no object", "k": 1}),
        ({"k": 1}, 7, {"k": 1, "metadata_extra": 7}),
        ('{"cut": ', None, None),
        ([1, 2], None, None),
        ("", None, None),
        ({}, {}, {}),
        ({}, '{ "k" : 1 }\n', {"k": 1}),
        (None, None, None),
    ],
)
def test_metadata_of_tokenledger_is_an_object_or_json_text(metadata: Any, metadata_extra: Any, tags: Any) -> None:
    line = {**TOKENLEDGER, "metadata": metadata, "metadata_extra": metadata_extra}
    assert row("tokenledger", line).get("tags") == tags


# ---------------------------------------------------------------- tokenmeter

TOKENMETER: Line = {
    **{
        "id": "a1",
        "timestamp": "2026-11-01T09:30:00.392658",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
    },
    **{"input_tokens": 10, "output_tokens": 300, "cache_read_tokens": 50000, "cache_write_tokens": 2000},
    **{
        "input_cost": "0.0225",
        "output_cost": "0.0045",
        "total_cost": "0.0270",
        "session_id": None,
        "user_id": "u1",
    },
    **{
        "tags": {"team": "ml", "project": "p", "cost_center": "cc-1", "n": 1},
        "is_estimate": False,
        "water_ml": "16.7364",
        "energy_wh": "8.3682",
    },
}


def test_a_tokenmeter_record_lands() -> None:
    assert row("tokenmeter", TOKENMETER) == {
        "event_id": "a1",
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 392658),
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        # 10 uncached, 50,000 read from the cache, 2,000 written to it
        "input_tokens": 52010,
        "cache_read_tokens": 50000,
        "cache_write_tokens": 2000,
        "output_tokens": 300,
        "token_convention": "exclusive",
        "reported_cost_usd": Decimal("0.0270"),
        "is_estimate": False,
        "user_id": "u1",
        "team": "ml",
        "project": "p",
        "cost_center": "cc-1",
        "water_ml": Decimal("16.7364"),
        "energy_wh": Decimal("8.3682"),
        "tags": {"team": "ml", "project": "p", "cost_center": "cc-1", "n": 1},
        "extra": {"input_cost": "0.0225", "output_cost": "0.0045"},
    }


def test_missing_fields_of_tokenmeter_have_their_defaults() -> None:
    assert row("tokenmeter", {"timestamp": "2026-11-01T09:30:00", "total_cost": "0.5"}) == {
        "occurred_at": at(2026, 11, 1, 9, 30),
        "input_tokens": 0,
        "cache_read_tokens": 0,
        "cache_write_tokens": 0,
        "output_tokens": 0,
        "token_convention": "inclusive",
        "reported_cost_usd": Decimal("0.5"),
        "is_estimate": False,
        "water_ml": Decimal(0),
        "energy_wh": Decimal(0),
    }


def test_a_tokenmeter_record_without_a_total_has_no_cost() -> None:
    line = {"timestamp": "2026-11-01T09:30:00", "model": "m", "input_cost": "1"}
    assert "reported_cost_usd" not in row("tokenmeter", line)


def test_times_of_tokenmeter_are_local() -> None:
    # Kolkata is at UTC+05:30; Berlin returned to standard time, UTC+01:00, on October 25
    assert row("tokenmeter", TOKENMETER, time_zone="Asia/Kolkata")["occurred_at"] == at(2026, 11, 1, 4, 0, 0, 392658)
    assert row("tokenmeter", TOKENMETER, time_zone="Europe/Berlin")["occurred_at"] == at(2026, 11, 1, 8, 30, 0, 392658)


@pytest.mark.parametrize(
    ("cost", "usd"),
    [
        ("0.0270", "0.027"),
        ("0", "0"),
        ("1E-7", "0.0000001"),
        ("0E-10", "0"),
        ("123456789.123456789012", "123456789.123456789012"),
        ("0.0000000000005", "0.000000000001"),
        (0.027, "0.027"),
        (2e-07, "0.0000002"),
    ],
)
def test_costs_of_tokenmeter_are_decimals_in_text(cost: Any, usd: str) -> None:
    assert row("tokenmeter", {**TOKENMETER, "total_cost": cost})["reported_cost_usd"] == Decimal(usd)


@pytest.mark.parametrize("field", ["total_cost", "water_ml", "energy_wh"])
@pytest.mark.parametrize("value", ["much", "NaN", "Infinity"])
def test_text_that_is_not_a_decimal_is_rejected_with_its_column(field: str, value: str) -> None:
    column = {"total_cost": "reported_cost_usd"}.get(field, field)
    assert reasons("tokenmeter", {**TOKENMETER, field: value}) == [f"{column} is not a finite number"]


def test_an_estimate_of_tokenmeter_is_flagged() -> None:
    assert row("tokenmeter", {**TOKENMETER, "is_estimate": True})["is_estimate"] is True


def test_input_of_other_tokenmeter_providers_includes_cached_tokens() -> None:
    line = {**TOKENMETER, "provider": "openai", "input_tokens": 60000}
    event = row("tokenmeter", line)
    assert (event["input_tokens"], event["token_convention"]) == (60000, "inclusive")


# ---------------------------------------------------------------- claude_code

USAGE: Line = {
    **{"input_tokens": 10, "cache_creation_input_tokens": 2000, "cache_read_input_tokens": 50000},
    "cache_creation": {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 2000},
    **{"output_tokens": 300, "output_tokens_details": {"thinking_tokens": 120}},
    **{"server_tool_use": {"web_search_requests": 2}, "service_tier": "standard"},
}
MESSAGE: Line = {
    **{
        "id": "msg_1",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "stop_reason": "tool_use",
        "usage": USAGE,
    },
}
ASSISTANT: Line = {
    **{"type": "assistant", "uuid": "u", "sessionId": "s1", "isSidechain": False, "cwd": "/w"},
    **{"timestamp": "2026-11-01T09:30:00.123Z", "requestId": "req_1", "message": MESSAGE},
}


def assistant(usage: Any = None, message: Line | None = None, **fields: Any) -> Line:
    """An assistant line with other usage, fields of the message or fields of the line; None removes a field."""
    message = {**MESSAGE, "usage": USAGE if usage is None else usage, **(message or {})}
    line = {
        **ASSISTANT,
        "message": {name: value for name, value in message.items() if value is not None},
        **fields,
    }
    return {name: value for name, value in line.items() if value is not None}


def test_a_claude_code_request_lands() -> None:
    assert row("claude_code", ASSISTANT) == {
        "event_id": "msg_1",
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 123000),
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "operation": "chat",
        "service_tier": "standard",
        # 10 uncached, 50,000 read from the cache, 2,000 written to it
        "input_tokens": 52010,
        "cache_read_tokens": 50000,
        "cache_write_tokens": 2000,
        "cache_write_1h_tokens": 2000,
        "web_search_requests": 2,
        "output_tokens": 300,
        "reasoning_tokens": 120,
        "token_convention": "exclusive",
        "session_id": "s1",
        "project": "/w",
        "app_name": "claude-code",
        "status": "success",
        "request_id": "req_1",
        "extra": {
            "uuid": "u",
            "isSidechain": False,
            "message.stop_reason": "tool_use",
        },
    }


def test_extra_has_only_keys_of_the_line() -> None:
    line = assistant({"input_tokens": 1, "output_tokens": 2}, {"stop_reason": None}, uuid=None, isSidechain=None)
    assert "extra" not in row("claude_code", line)


def test_an_old_line_of_claude_code_has_its_cost_and_duration() -> None:
    event = row("claude_code", assistant(costUSD=0.05898105000000001, durationMs=7689))
    # the digits of the line, cut to twelve decimal places: 0.058981050000 00001
    assert (event["reported_cost_usd"], event["duration_ms"]) == (Decimal("0.058981050000"), 7689.0)


@pytest.mark.parametrize(
    ("line", "event_id"),
    [
        (assistant(), "msg_1"),
        (assistant(requestId="req_2", isSidechain=True), "msg_1"),
        (assistant(requestId=None), "msg_1"),
        (assistant(message={"id": None}), "u"),
        (assistant(message={"id": None}, requestId=None), "u"),
        (assistant(message={"id": None}, uuid=None), None),
    ],
    ids=["both", "a replay in a side chain", "no request id", "no message id", "neither", "not even a uuid"],
)
def test_a_claude_code_request_is_identified_by_its_message_id(line: Line, event_id: str | None) -> None:
    assert row("claude_code", line).get("event_id") == event_id


@pytest.mark.parametrize(
    ("message_id", "model", "provider"),
    [
        ("msg_01ABC", "claude-sonnet-4-5-20250929", "anthropic"),
        (None, "claude-sonnet-4-5-20250929", "anthropic"),
        ("msg_bdrk_01ABC", "claude-sonnet-4-5-20250929", "aws.bedrock"),
        ("msg_vrtx_01ABC", "claude-sonnet-4-5-20250929", "gcp.vertex_ai"),
        ("msg_01ABC", "claude-sonnet-4-5@20250929", "gcp.vertex_ai"),
        # the model or its prefix says more
        ("msg_01ABC", "us.anthropic.claude-sonnet-4-5-20250929-v1:0", None),
        ("20260101", "glm-4.6", None),
    ],
)
def test_the_provider_of_claude_code_is_the_one_that_answered(
    message_id: str | None, model: str, provider: str | None
) -> None:
    assert row("claude_code", assistant(message={"id": message_id, "model": model})).get("provider") == provider


@pytest.mark.parametrize(
    ("speed", "tier"), [("fast", "fast"), ("standard", "batch"), (None, "batch")], ids=["fast", "standard", "unknown"]
)
def test_fast_mode_of_claude_code_is_a_service_tier(speed: str | None, tier: str) -> None:
    usage = {**USAGE, "service_tier": "batch", **({"speed": speed} if speed else {})}
    assert row("claude_code", assistant(usage))["service_tier"] == tier


@pytest.mark.parametrize(
    ("writes", "cache_writes", "one_hour_writes"),
    [
        # the flat count includes the split
        ({"cache_creation_input_tokens": 1000, "cache_creation": (600, 400)}, 1000, 400),
        ({"cache_creation_input_tokens": 1000, "cache_creation": (1000, 0)}, 1000, 0),
        ({"cache_creation_input_tokens": 1000}, 1000, None),
        ({"cache_creation_input_tokens": 1000, "cache_creation": None}, 1000, None),
        ({"cache_creation_input_tokens": 0}, 0, None),
        # without the flat count, the two parts are the total
        ({"cache_creation": (600, 400)}, 1000, 400),
        ({"cache_creation": (600, None)}, 600, None),
        ({"cache_creation": (None, 400)}, 400, 400),
        ({"cache_creation_input_tokens": None, "cache_creation": (600, 400)}, 1000, 400),
        # a part larger than the total is not included in it
        ({"cache_creation_input_tokens": 600, "cache_creation": (600, 700)}, 1300, 700),
        ({}, None, None),
    ],
)
def test_cache_writes_of_claude_code_land(writes: Line, cache_writes: int | None, one_hour_writes: int | None) -> None:
    usage: Line = {"input_tokens": 10, "cache_read_input_tokens": 100, "output_tokens": 1, **writes}
    if split := usage.get("cache_creation"):
        usage["cache_creation"] = {
            "ephemeral_5m_input_tokens": split[0],
            "ephemeral_1h_input_tokens": split[1],
        }
    event = row("claude_code", assistant(usage))
    assert event.get("cache_write_tokens") == cache_writes
    assert event.get("cache_write_1h_tokens") == one_hour_writes
    assert event["input_tokens"] == 10 + 100 + (cache_writes or 0)


@pytest.mark.parametrize("split", [(-1, 400), (600, -1), (0.5, 400)])
def test_a_bad_part_of_split_cache_writes_is_rejected(split: tuple[float, float]) -> None:
    parts = dict(zip(("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"), split, strict=True))
    (reason,) = reasons("claude_code", assistant({"cache_creation": parts}))
    assert reason.startswith("cache_write_tokens is ")


@pytest.mark.parametrize(
    "line",
    [
        {"type": "user", "sessionId": "s1", "message": {"role": "user", "content": "Hello"}},
        {"type": "summary", "summary": "Greeting", "leafUuid": "u"},
        {"type": "system", "sessionId": "s1", "content": "Compacted"},
        {"type": "progress", "sessionId": "s1", "data": {"message": {"message": MESSAGE}}},
        {"type": "attachment", "sessionId": "s1", "attachment": {}},
        {"type": "queue-operation", "operation": "enqueue", "sessionId": "s1"},
        {"type": "file-history-snapshot", "messageId": "m", "snapshot": {}},
        {"type": "something-new", "sessionId": "s1", "message": MESSAGE},
        {"sessionId": "s1", "message": MESSAGE},
        {**ASSISTANT, "message": {name: value for name, value in MESSAGE.items() if name != "usage"}},
        {**ASSISTANT, "message": {**MESSAGE, "usage": None}},
        {**ASSISTANT, "message": {**MESSAGE, "usage": []}},
        {**ASSISTANT, "message": "Hello"},
        {**ASSISTANT, "message": None},
        assistant(message={"model": "<synthetic>"}),
        {**assistant(message={"model": "<synthetic>"}), "timestamp": "never"},
    ],
)
def test_a_claude_code_line_that_is_not_a_request_is_skipped(line: Line) -> None:
    result = parsed("claude_code", ASSISTANT, line, ASSISTANT)
    assert result.events["line_id"].to_pylist() == [0, 2]
    assert result.rejected["reason"].to_pylist() == []


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (assistant(timestamp=None), "no timestamp"),
        (assistant({**USAGE, "output_tokens": -1}), "output_tokens is negative"),
        (
            assistant({**USAGE, "output_tokens_details": {"thinking_tokens": "many"}}),
            "reasoning_tokens is not a number",
        ),
        (assistant(costUSD="free"), "reported_cost_usd is not a finite number"),
    ],
)
def test_a_bad_claude_code_request_is_rejected(line: Line, reason: str) -> None:
    assert reasons("claude_code", ASSISTANT, line) == [reason]


def test_usage_without_counts_is_a_request_of_unknown_size() -> None:
    event = row("claude_code", assistant({}))
    assert event.keys().isdisjoint({"input_tokens", "output_tokens", "cache_read_tokens", "cache_write_tokens"})


def test_all_snapshots_of_a_request_land_with_the_same_id() -> None:
    snapshots = [assistant({"output_tokens": output}, uuid=str(output)) for output in (9, 9, 159)]
    events = parsed("claude_code", *snapshots).events
    assert events["event_id"].to_pylist() == ["msg_1"] * 3
    assert events["output_tokens"].to_pylist() == [9, 9, 159]


# ---------------------------------------------------------------- ctm

CTM: Line = {
    **{"ts": 1793525400123, "session": "s1", "input_tokens": 10, "output_tokens": 5, "cache_tokens": 100},
    "cost_usd_micros": 1234,
}


def test_a_ctm_cost_point_lands() -> None:
    assert row("ctm", CTM) == {
        # 2026-11-01 is 20,758 days after 1970-01-01, and 09:30:00.123 is 34,200.123 s
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 123000),
        "session_id": "s1",
        "input_tokens": 110,
        "cache_read_tokens": 100,
        "output_tokens": 5,
        "token_convention": "exclusive",
        "is_running_total": True,
        "reported_cost_usd": Decimal("0.001234"),
    }


@pytest.mark.parametrize(
    ("micros", "usd"),
    [
        (1, "0.000001"),
        (0, "0"),
        (12345678901, "12345.678901"),
        (1234.5, "0.0012345"),
        (-1, None),
        (None, None),
    ],
)
def test_costs_of_ctm_are_millionths(micros: float | None, usd: str | None) -> None:
    assert row("ctm", {**CTM, "cost_usd_micros": micros}).get("reported_cost_usd") == (usd and Decimal(usd))


@pytest.mark.parametrize(
    ("ts", "reason"),
    [
        (None, "no timestamp"),
        ("soon", "timestamp does not parse"),
        ({}, "timestamp does not parse"),
        # seconds instead of milliseconds: January 1970
        (1793525400, "timestamp is not between 2000 and 2099"),
        (-1, "timestamp is not between 2000 and 2099"),
        (4102444800000, "timestamp is not between 2000 and 2099"),
        (10**17, "timestamp does not parse"),
        (2**63 - 1, "timestamp does not parse"),
        (2**64, "timestamp does not parse"),
        (1e300, "timestamp does not parse"),
    ],
)
def test_an_impossible_ctm_timestamp_is_rejected(ts: Any, reason: str) -> None:
    result = parsed("ctm", CTM, {**CTM, "ts": ts}, CTM)
    assert result.rejected["reason"].to_pylist() == [reason]
    assert result.events["line_id"].to_pylist() == [0, 2]


# ---------------------------------------------------------------- recognition

OTHER: Line = {"level": "info", "msg": "started"}
TELEGRAM = {
    "message_id": 4,
    "session_id": "s1",
    "user_id": 7,
    "timestamp": "2026-11-01T09:30:00",
    "cost": 0.0425,
    "duration_ms": 1500,
    "error": None,
}
EXAMPLES = {
    "anthropic": ANTHROPIC,
    "azure": GATEWAY,
    "bedrock": BEDROCK,
    "claude_code": ASSISTANT,
    "claude_code_telegram": TELEGRAM,
    "codex": counted(1, usage(1, 0, 0, 1, 0)),
    "ctm": CTM,
    "gemini_cli": message("m1", tokens(1, 1, 0, 0, 0)),
    "helicone": HELICONE,
    "langfuse": LANGFUSE,
    "litellm": LITELLM,
    "openai": OPENAI,
    "opencode": OPENCODE,
    "openrouter": OPENROUTER,
    "otel": OTEL,
    "tokenledger": TOKENLEDGER,
    "tokenmeter": TOKENMETER,
    "vertex": VERTEX,
}


def loaded(folder: Path, *lines: str | bytes | Line, **options: Any) -> LoadResult:
    """Loads a file of these lines; returns the result."""
    path = folder / "file.jsonl"
    path.write_bytes(as_lines(*lines))
    reader = new_reader(**options)
    list(reader.tables(find([str(path)]), {}))
    return reader.result


def test_every_built_in_format_is_tested() -> None:
    assert formats.names() == sorted(EXAMPLES)


@pytest.mark.parametrize("line", EXAMPLES.values())
def test_only_one_format_recognizes_a_line(line: Line) -> None:
    assert sum(counts(parser(), [json.dumps(line)]).values()) == 1


@pytest.mark.parametrize("name", EXAMPLES)
@pytest.mark.parametrize("before", [[], [""], ["nonsense"], [OTHER] * 10, ["[]", "12"]])
def test_a_format_is_recognized_by_its_lines(name: str, before: list[Any], tmp_path: Path) -> None:
    (file,) = loaded(tmp_path, *before, EXAMPLES[name]).files
    assert (file.format, file.landed, file.problem) == (name, 1, None)


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ({"type": "summary", "leafUuid": "u"}, "claude_code"),
        ({"type": "summary", "summary": "Greeting", "leafUuid": "u"}, "claude_code"),
        ({"type": "queue-operation", "operation": "enqueue", "sessionId": "s1"}, "claude_code"),
        ({"type": "file-history-snapshot", "messageId": "m", "snapshot": {}}, "claude_code"),
        ({"timestamp": "2026-11-01T09:30:00", "total_cost": "0"}, "tokenmeter"),
        ({"timestamp": "2026-11-01T09:30:00", "input_cost": "0"}, "tokenmeter"),
        ({"event_id": "e", "timestamp": "2026-11-01T09:30:00Z", "model": None}, "tokenledger"),
        ({"ts": 1, "session": "s", "cost_usd_micros": 1}, "ctm"),
    ],
)
def test_one_line_is_enough_to_recognize_a_format(line: Line, name: str, tmp_path: Path) -> None:
    (file,) = loaded(tmp_path, line).files
    assert (file.format, file.problem) == (name, None)


def test_lines_that_cannot_be_requests_are_counted_without_being_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed_lines: list[int] = []
    parse_lines = Parser.parse
    monkeypatch.setattr(
        Parser,
        "parse",
        lambda used, format_, lines: (parsed_lines.append(len(lines)), parse_lines(used, format_, lines))[1],
    )
    user = {"type": "user", "sessionId": "s1", "message": {"role": "user", "content": "x" * 1000}}
    result = parsed("claude_code", user, ASSISTANT, '{"type": "user"', '{"type": 1, "type": 2}', user, used=Parser())
    assert (parsed_lines, result.events["line_id"].to_pylist()) == ([1], [1])
    assert result.rejected["reason"].to_pylist() == ["not JSON", "duplicate key"]


def test_a_request_with_an_escaped_key_lands() -> None:
    for key in (r"\u0075sage", r"u\u0073age", r"usa\u0067e"):
        result = parsed("claude_code", json.dumps(ASSISTANT).replace('"usage"', f'"{key}"'))
        assert result.events["output_tokens"].to_pylist() == [USAGE["output_tokens"]]


def test_many_files_are_recognized_by_one_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, line in enumerate([*EXAMPLES.values()] * 5):
        (tmp_path / f"{number}.jsonl").write_bytes(as_lines(line))
    queries: list[str] = []
    run = Parser.run
    monkeypatch.setattr(
        Parser,
        "run",
        lambda used, query, *args, **columns: (queries.append(query), run(used, query, *args, **columns))[1],
    )
    reader = new_reader()
    list(reader.tables(find([str(tmp_path)]), {}))
    assert [file.landed for file in reader.result.files] == [1] * 5 * len(EXAMPLES)
    assert len([query for query in queries if "recognizes" in query]) == 1


def test_a_transcript_with_only_a_summary_is_read_and_has_no_request(tmp_path: Path) -> None:
    (file,) = loaded(tmp_path, {"type": "summary", "leafUuid": "u"}).files
    assert (file.read, file.landed, file.skipped, file.rejected) == (1, 0, 1, 0)


def test_the_format_that_matches_the_most_lines_is_used(tmp_path: Path) -> None:
    (file,) = loaded(tmp_path, CTM, TOKENLEDGER, TOKENLEDGER).files
    assert (file.format, file.landed, file.rejected) == ("tokenledger", 2, 1)
    # even if the first lines are of another format
    (file,) = loaded(tmp_path, CTM, *[OTHER] * 20, TOKENLEDGER, TOKENLEDGER).files
    assert (file.format, file.landed, file.rejected) == ("tokenledger", 2, 21)


@pytest.mark.parametrize(
    "lines", [[TOKENLEDGER, CTM], [{**TOKENLEDGER, "total_cost": "0"}]], ids=["mixed", "keys of both"]
)
def test_a_file_that_matches_two_formats_equally_is_left_out(lines: list[Line], tmp_path: Path) -> None:
    (file,) = loaded(tmp_path, *lines).files
    assert (file.read, file.format) == (0, None)
    assert file.problem is not None and "it can be " in file.problem and "--format" in file.problem
    (file,) = loaded(tmp_path, *lines, format="tokenledger").files
    assert (file.read, file.format, file.problem) == (len(lines), "tokenledger", None)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([OTHER], "unknown format: line 1 has the keys level, msg"),
        (["", OTHER], "unknown format: line 2 has the keys level, msg"),
        (["12:00 server started"], "not JSON Lines: line 1 begins with '12:00 server started'"),
        ([b"\xff\xfe"], "not JSON Lines: line 1 begins with"),
        (["[", TOKENLEDGER["event_id"], "]"], "not JSON Lines: line 1 begins with '['"),
        (["[1]"], "lines are not JSON objects: line 1 begins with '[1]'"),
        (["[" * 100_000], "not JSON Lines: line 1 begins with '[[[["),
    ],
)
def test_a_file_of_unknown_format_is_left_out_and_the_message_names_a_line(
    lines: list[Any], message: str, tmp_path: Path
) -> None:
    (file,) = loaded(tmp_path, *lines).files
    assert (file.read, file.format) == (0, None)
    assert file.problem is not None and message in file.problem and "file.jsonl" in file.problem


@pytest.mark.parametrize("lines", [["12:00 server started"], [""], [OTHER]])
def test_other_files_are_read_if_one_is_left_out(lines: list[Any], tmp_path: Path) -> None:
    (tmp_path / "a.log").write_bytes(as_lines(*lines))
    (tmp_path / "file.jsonl").write_bytes(as_lines(TOKENLEDGER))
    reader = new_reader()
    list(reader.tables(find([str(tmp_path)]), {}))
    assert [(Path(file.name).name, file.landed) for file in reader.result.files] == [
        ("a.log", 0),
        ("file.jsonl", 1),
    ]


def test_a_format_is_recognized_in_the_first_200_lines(tmp_path: Path) -> None:
    (file,) = loaded(tmp_path, *[OTHER] * 199, TOKENLEDGER).files
    assert (file.format, file.landed, file.rejected) == ("tokenledger", 1, 199)
    (file,) = loaded(tmp_path, *[OTHER] * 200, TOKENLEDGER).files
    assert (file.format, file.read) == (None, 0)


@pytest.mark.parametrize(("named", "line"), [("tokenledger", CTM), ("ctm", ASSISTANT), ("claude_code", TOKENMETER)])
def test_a_file_that_is_not_of_the_named_format_is_left_out(named: str, line: Line, tmp_path: Path) -> None:
    (file,) = loaded(tmp_path, line, line, format=named).files
    actual = next(name for name, example in EXAMPLES.items() if example is line)
    assert (file.read, file.problem) == (0, f"{tmp_path / 'file.jsonl'}: not {named}: it looks like {actual}")
    (file,) = loaded(tmp_path, line, EXAMPLES[named], format=named).files
    assert (file.read, file.problem) == (2, None)


def test_a_file_whose_lines_are_all_skipped_by_the_format_is_a_problem(tmp_path: Path) -> None:
    sql = "select line_id, line ->> '$.when' as occurred_at, 'm' as model from lines where line ->> '$.who' = 'u1'"
    for who, problem in (("u1", None), ("u2", f"{tmp_path / 'file.jsonl'}: the format own skipped every line")):
        (file,) = loaded(tmp_path, {**OWN_LINE, "who": who}, format=custom_format(tmp_path, sql)).files
        assert (file.read, file.problem) == (1, problem)


# ---------------------------------------------------------------- custom formats

OWN_LINE: Line = {
    "when": "2026-11-01T09:30:00Z",
    "who": "u1",
    "usage": {"in": 7, "out": 3, "new": 1},
    "usd": "0.01",
    "more": 2,
}
OWN_WITH_TYPE = """
create type event as struct("when" varchar, who varchar, usage struct("in" json, out json), usd json);
select
    line_id, event."when" as occurred_at, event.who as user_id, event.usage."in" as input_tokens,
    event.usage.out as output_tokens, event.usd ->> '$' as reported_cost_usd, extra
from events
"""
OWN_WITHOUT_TYPE = """
select
    line_id, line ->> '$.when' as occurred_at, line ->> '$.who' as user_id, line -> '$.usage.in' as input_tokens,
    cast(line ->> '$.usage.out' as integer) as output_tokens, cast(line ->> '$.usd' as double) as reported_cost_usd
from lines
"""
OWN_ROW: Line = {
    **{"occurred_at": at(2026, 11, 1, 9, 30), "user_id": "u1", "input_tokens": 7, "output_tokens": 3},
    **{"reported_cost_usd": Decimal("0.01"), "token_convention": "inclusive"},
}


def custom_format(folder: Path, sql: str, name: str = "own.sql") -> str:
    """Writes a format and returns its path."""
    (folder / name).write_text(sql)
    return str(folder / name)


def test_a_custom_format_with_a_type_has_extra(tmp_path: Path) -> None:
    event = row(custom_format(tmp_path, OWN_WITH_TYPE), OWN_LINE, used=Parser())
    assert event == {**OWN_ROW, "extra": {"usage.new": 1, "more": 2}}


def test_a_custom_format_without_a_type_reads_the_lines(tmp_path: Path) -> None:
    assert row(custom_format(tmp_path, OWN_WITHOUT_TYPE), OWN_LINE, used=Parser()) == OWN_ROW


def test_a_file_is_loaded_with_a_custom_format(tmp_path: Path) -> None:
    (file,) = loaded(tmp_path, OWN_LINE, format=custom_format(tmp_path, OWN_WITH_TYPE)).files
    assert (file.format, file.landed, file.problem) == ("own", 1, None)


@pytest.mark.parametrize(
    "name", ["own.sql", "my-own format.sql", "2026.sql", "o'wn.sql", "select.sql", "tokenledger.sql"]
)
def test_a_custom_format_may_have_any_name(name: str, tmp_path: Path) -> None:
    assert row(custom_format(tmp_path, OWN_WITH_TYPE, name), OWN_LINE, used=Parser())["user_id"] == "u1"


@pytest.mark.parametrize(
    "end", [";", "\n;\n", "-- the end", "-- the end\n", "; -- the end\n", "/* the end */", ";\n\n-- '"]
)
def test_a_format_may_end_in_a_comment_or_a_semicolon(end: str, tmp_path: Path) -> None:
    assert row(custom_format(tmp_path, OWN_WITH_TYPE.rstrip() + end), OWN_LINE, used=Parser())["user_id"] == "u1"


def test_typed_values_of_a_format_land_unchanged(tmp_path: Path) -> None:
    sql = """
        select
            line_id, timestamp '2026-11-01 09:30:00' as occurred_at, 1.5 as duration_ms, 7 as input_tokens,
            3.0::double as output_tokens, 0.1::double as reported_cost_usd, true as is_estimate, 12 as user_id
        from lines
    """
    event = row(custom_format(tmp_path, sql), "{}", used=Parser(time_zone="Asia/Kolkata"))
    assert event == {
        **{"occurred_at": at(2026, 11, 1, 4), "duration_ms": 1.5, "input_tokens": 7, "output_tokens": 3},
        **{
            "reported_cost_usd": Decimal("0.1"),
            "is_estimate": True,
            "user_id": "12",
            "token_convention": "inclusive",
        },
    }


def test_lines_that_a_format_leaves_out_are_skipped(tmp_path: Path) -> None:
    sql = "select line_id, line ->> '$.when' as occurred_at, 'm' as model from lines where line ->> '$.who' = 'u1'"
    path = custom_format(tmp_path, sql)
    (file,) = loaded(tmp_path, OWN_LINE, {**OWN_LINE, "who": "u2"}, {"who": "u1"}, format=path).files
    assert (file.read, file.landed, file.skipped, file.rejected) == (3, 1, 1, 1)


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("select '2026-11-01' as occurred_at from lines", "it must select line_id"),
        (
            "select line_id, 1 as tokens, 2 as price from lines",
            "the event contract has no column price, tokens",
        ),
        ("selct line_id from lines", "syntax error at or near"),
        ("select line_id, nothing from lines", 'column "nothing" not found'),
        ("select line_id from nowhere", "nowhere does not exist"),
        (
            "create type event as struct(a json); select line_id, event.b as model from events",
            'Could not find key "b"',
        ),
        ("create type event as struct(a jsonn); select line_id from events", "jsonn does not exist"),
        ("create type event as enum ('a'); select line_id from events", "event must be a struct"),
        ("create type event as struct(a json);", "must be a SELECT"),
        ("create view requests as select 1; select line_id from lines", "the only view that it can create"),
        ("create view tool_calls as select 1 as a from lines; select line_id from lines", "must select line_id"),
        (
            "create view tool_calls as select line_id, 1 as model from lines; select line_id from lines",
            "the event contract has no column model",
        ),
        ("", "it has no select"),
        ("-- still to be written\n", "it has no select"),
    ],
)
def test_the_error_for_a_broken_format_has_its_name(sql: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        loaded(tmp_path, OWN_LINE, format=custom_format(tmp_path, sql))
    assert str(raised.value).startswith("own.sql is not a usable format: ")
    assert message in str(raised.value)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("copy (select 1) to '{path}'", "not allowed: copy"),
        ("attach '{path}' as other", "not allowed: attach"),
        ("install httpfs", "not allowed: install"),
        ("set memory_limit = '10GB'", "not allowed: set"),
        ("pragma enable_profiling", "not allowed: pragma"),
        ("create table copied as select * from read_csv('{path}')", "not allowed: create table"),
        ("create persistent secret key (type http, bearer_token 'x')", "not allowed: create persistent secret"),
        ("create or replace macro main.tokens(x) as 7", "not allowed: create or replace macro main.tokens"),
        ("create macro main . other(x) as 7", "not allowed: create macro main . other"),
        ("create /* or */ or replace macro other(x) as 7", "without `or replace`"),
        ("create macro if not exists tokens(x) as 7", "`if not exists`"),
        ('create macro "Tokens"(x) as 7', "Tokenmart already has a macro Tokens; choose another name"),
    ],
)
@pytest.mark.parametrize("command", ["load", "preview"])
def test_a_format_cannot_access_files(command: str, statement: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "reached"
    sql = custom_format(tmp_path, statement.format(path=path) + ";" + OWN_WITHOUT_TYPE)
    with pytest.raises(UsageError) as raised:
        if command == "load":
            loaded(tmp_path, OWN_LINE, format=sql)
        else:
            new_reader(format=sql)
    assert message in str(raised.value)
    assert not path.exists()


def test_the_select_of_a_format_cannot_access_files_or_python_variables(tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a")
    line = f"(select max(content) from read_text('{tmp_path / 'secret.csv'}'))"
    for value in (line, "(select max(event_id) from secret_table)"):
        secret_table = pa.table({"event_id": ["e"]})
        assert len(secret_table) == 1
        with pytest.raises(UsageError, match=r"file system operations are disabled|secret_table does not exist"):
            loaded(
                tmp_path, OWN_LINE, format=custom_format(tmp_path, f"select line_id, {value} as event_id from lines")
            )


@pytest.mark.parametrize("name", ["nothing", "nothing.sql", "formats/nothing.sql", "."])
def test_the_error_for_a_missing_format_lists_the_known_ones(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="There is no format") as raised:
        loaded(tmp_path, OWN_LINE, format=name)
    assert raised.value.hint is not None and ", ".join(formats.names()) in raised.value.hint


def test_a_format_that_fails_on_a_line_is_refused(tmp_path: Path) -> None:
    sql = "select line_id, cast(line ->> '$.who' as integer) as input_tokens from lines"
    with pytest.raises(UsageError, match=r"own.*Could not convert string 'u1' to INT32"):
        loaded(tmp_path, OWN_LINE, format=custom_format(tmp_path, sql))


def test_each_format_has_a_description() -> None:
    assert formats.names()
    for name in formats.names():
        assert formats.description(name).endswith(".") and len(formats.description(name)) > 20
