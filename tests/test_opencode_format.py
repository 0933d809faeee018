"""Messages of opencode become the expected rows."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from conftest import Mart
from parsing import Line, at, parsed, row

OPENCODE: Line = {
    "id": "msg_1",
    "sessionID": "ses_1",
    "role": "assistant",
    "time": {"created": 1793525400123, "completed": 1793525409123},
    "modelID": "claude-sonnet-4-5",
    "providerID": "anthropic",
    "mode": "build",
    "agent": "build",
    "path": {"cwd": "/w", "root": "/w"},
    "cost": 0.0123,
    "tokens": {"total": 6200, "input": 1000, "output": 100, "reasoning": 100, "cache": {"read": 5000, "write": 0}},
    "finish": "stop",
}


def message(tokens: Line | None = None, **fields: Any) -> Line:
    """A message with other tokens or other fields."""
    return {**OPENCODE, "tokens": {**OPENCODE["tokens"], **(tokens or {})}, **fields}


def test_a_message_of_opencode_lands() -> None:
    assert row("opencode", OPENCODE) == {
        "event_id": "msg_1",
        "occurred_at": at(2026, 11, 1, 9, 30, 0, 123000),
        "duration_ms": 9000.0,
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
        "operation": "chat",
        "input_tokens": 6000,
        "cache_read_tokens": 5000,
        "cache_write_tokens": 0,
        # 1,000 + 100 + 100 + 5,000 is the total, so the output does not include the reasoning
        "output_tokens": 200,
        "reasoning_tokens": 100,
        "token_convention": "exclusive",
        "reported_cost_usd": Decimal("0.0123"),
        "session_id": "ses_1",
        "project": "/w",
        "app_name": "opencode",
        "component": "build",
        "status": "success",
        "extra": {"mode": "build", "path.root": "/w", "finish": "stop"},
    }


@pytest.mark.parametrize(
    ("tokens", "output"),
    [
        # the total leaves out the reasoning, so the output includes it
        ({"total": 6100}, 100),
        ({"total": None}, 200),
        ({"total": 6150, "reasoning": 50}, 150),
    ],
)
def test_the_total_tells_whether_the_output_includes_reasoning(tokens: Line, output: int) -> None:
    assert row("opencode", message(tokens))["output_tokens"] == output


def test_a_cost_of_0_is_unknown() -> None:
    assert "reported_cost_usd" not in row("opencode", message(cost=0))


@pytest.mark.parametrize(("name", "status"), [("MessageAbortedError", "cancelled"), ("APIError", "error")])
def test_errors_of_opencode(name: str, status: str) -> None:
    found = row("opencode", message(error={"name": name, "data": {"message": "x"}}))
    assert (found["status"], found["error_type"], found["error_message"]) == (status, name, "x")


def test_messages_of_users_are_skipped() -> None:
    user = {"id": "msg_0", "sessionID": "ses_1", "role": "user", "time": {"created": 1793525400000}}
    assert parsed("opencode", user, OPENCODE).events["line_id"].to_pylist() == [1]


def test_a_folder_of_messages_is_read_once(mart: Mart, project: Path) -> None:
    storage = mart.folder / "opencode/storage"
    for name, line in {
        "msg_1": OPENCODE,
        "msg_2": message(id="msg_2"),
        "msg_3": message(id="msg_3", role="user"),
    }.items():
        path = storage / "message" / str(line["sessionID"]) / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(line, indent=2))
    mart.write("opencode/storage/session/ses_1.json", {"id": "ses_1"})
    mart.write("opencode/auth.json", {"key": "secret"})
    first, second = (mart.json("load", mart.folder / "opencode")["files"] for _ in range(2))
    assert sorted((file["format"], file["landed"], file["skipped"]) for file in first) == [
        ("opencode", 0, 1),
        ("opencode", 1, 0),
        ("opencode", 1, 0),
    ]
    assert [(file["read"], file["problem"]) for file in second] == [(0, None)] * 3
    assert mart.query("select event_id from raw_usage.events order by 1") == [("msg_1",), ("msg_2",)]
