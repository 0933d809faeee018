"""Reports of tool calls become the expected rows, without arguments and results."""

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Mart, as_lines, new_reader
from parsing import Line, at, parsed
from test_agent_formats import codex, events, meta, turn
from test_otel_format import SECOND, START, TRACE, log, logs, span, traces
from tokenmart.checkpoints import Checkpoint
from tokenmart.files import find
from tokenmart.formats import Parser

SECRET = "the secret"
NINE = at(2026, 11, 1, 9, 30)


def calls(format_: str, *lines: str | Line, **options: Any) -> list[Line]:
    """The reports in these lines, without their empty columns."""
    rows = parsed(format_, *lines, **options).tool_calls.drop_columns("line_id").to_pylist()
    assert SECRET not in str(rows)
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def claude(kind: str, *blocks: Line, second: int = 0) -> Line:
    """A line of a transcript with these blocks."""
    at_ = f"2026-11-01T09:30:{second:02}.000Z"
    return {"type": kind, "sessionId": "s", "cwd": "/w", "timestamp": at_, "message": {"content": list(blocks)}}


def test_calls_and_results_of_claude_code_are_reported() -> None:
    use = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {"command": SECRET}}
    edit = {"type": "tool_use", "id": "toolu_2", "name": "mcp__files__edit", "input": {}}
    result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": SECRET}
    failed = {"type": "tool_result", "tool_use_id": "toolu_2", "content": SECRET, "is_error": True}
    common = {"session_id": "s", "project": "/w", "app_name": "claude-code"}
    assert calls(
        "claude_code",
        claude("assistant", {"type": "text", "text": 'no "tool_use"'}, use, edit),
        claude("user", result, second=2),
        claude("user", failed, second=3),
        # a prompt is a text, and a result may lack its id
        {**claude("user"), "message": {"content": '"tool_result"'}},
        claude("user", {"type": "tool_result", "content": SECRET}),
    ) == [
        # {"command":"the secret"} has 24 bytes, and "the secret" has 12
        {"tool_call_id": "toolu_1", "tool_name": "Bash", "started_at": NINE, "arguments_bytes": 24, **common},
        {
            "tool_call_id": "toolu_2",
            "tool_name": "mcp__files__edit",
            "started_at": NINE,
            "arguments_bytes": 2,
            **common,
        },
        {
            **{"tool_call_id": "toolu_1", "finished_at": at(2026, 11, 1, 9, 30, 2), "status": "success"},
            **{"result_bytes": 12, **common},
        },
        {
            **{"tool_call_id": "toolu_2", "finished_at": at(2026, 11, 1, 9, 30, 3), "status": "error"},
            **{"result_bytes": 12, **common},
        },
    ]


def test_calls_without_an_id_have_a_computed_one() -> None:
    lines = [claude("assistant", {"type": "tool_use", "name": name}) for name in ("Bash", "Read")]
    first, second = (row["tool_call_id"] for row in calls("claude_code", *lines))
    assert len({first, second}) == 2
    assert [row["tool_call_id"] for row in calls("claude_code", *reversed(lines))] == [second, first]


@pytest.mark.parametrize("name", [SECRET + "\n", "x" * 129, "rm -rf; ls"])
def test_an_unusual_name_could_be_content(name: str) -> None:
    line = claude("assistant", {"type": "tool_use", "id": "t", "name": name})
    assert [row["tool_name"] for row in calls("claude_code", line)] == ["(unusual name)"]


def test_options_fill_the_columns_of_tool_calls() -> None:
    line = {**claude("assistant", {"type": "tool_use", "id": "t", "name": "Bash"}), "cwd": ""}
    used = Parser(defaults={"user_id": "ada", "project": "p", "session_id": "other"})
    (row,) = calls("claude_code", line, used=used)
    assert (row["user_id"], row["project"], row["session_id"]) == ("ada", "p", "s")


CODEX = (
    meta(cwd="/w", model_provider="openai"),
    turn("gpt-5"),
    codex("response_item", 1, type="function_call", name="exec_command", call_id="c1", arguments=SECRET),
    codex("response_item", 3, type="function_call_output", call_id="c1", output=f"Exit code: 1\nOutput: {SECRET}"),
    codex("response_item", 4, type="custom_tool_call", name="apply_patch", call_id="c2", input=SECRET),
    codex(
        "response_item",
        5,
        type="custom_tool_call_output",
        call_id="c2",
        output=json.dumps({"output": SECRET, "metadata": {"exit_code": 0}}),
    ),
    codex("response_item", 6, type="local_shell_call", call_id="c3", action={"command": [SECRET]}),
    codex("response_item", 7, type="function_call_output", call_id="c3", output=SECRET),
    codex("response_item", 8, type="web_search_call", status="completed"),
)


def reports(path: Path, stored: dict[str, Checkpoint]) -> list[Line]:
    """The reports that a load of a file lands."""
    reader = new_reader()
    rows: list[Line] = []
    for table, found in reader.tables(find([str(path)]), stored):
        rows += found.to_pylist() if table == "tool_calls" else []
    stored.update(reader.checkpoints)
    return rows


def test_calls_and_results_of_codex_are_reported_in_any_number_of_loads(tmp_path: Path) -> None:
    path = tmp_path / "rollout.jsonl"
    stored: dict[str, Checkpoint] = {}
    rows = []
    for number in range(len(CODEX)):
        path.write_bytes(as_lines(*CODEX[: number + 1]))
        rows += reports(path, stored)
    assert SECRET not in str(rows)
    names = ("tool_call_id", "tool_name", "status", "arguments_bytes", "result_bytes", "session_id", "project")
    session = CODEX[0]["payload"]["id"]
    assert [tuple(row[name] for name in names) for row in rows] == [
        ("c1", "exec_command", None, 10, None, session, "/w"),
        # Exit code: 1, Output: the secret
        ("c1", None, "error", None, 31, session, "/w"),
        ("c2", "apply_patch", None, 10, None, session, "/w"),
        # {"output": "the secret", "metadata": {"exit_code": 0}}
        ("c2", None, "success", None, 54, session, "/w"),
        # {"command":["the secret"]}
        ("c3", "local_shell", None, 26, None, session, "/w"),
        ("c3", None, None, None, 10, session, "/w"),
    ]
    assert [(row["started_at"] or row["finished_at"]).second for row in rows] == [1, 3, 4, 5, 6, 7]
    assert events(path) == []


def test_spans_of_tools_are_reported() -> None:
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "search", "gen_ai.conversation.id": "s"}
    tool["gen_ai.tool.call.arguments"] = SECRET
    other = {"openinference.span.kind": "TOOL", "tool.name": "lookup", "input.value": SECRET, "user.id": "ada"}
    chat = {"gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt-4o"}
    common = {"app_name": "bot", "trace_id": TRACE, "duration_ms": 1000.0}
    assert calls(
        "otel", traces(span(0, tool), span(1, other, status={"code": 2}), span(2, chat)), time_zone="Asia/Kolkata"
    ) == [
        {
            **{"tool_call_id": f"{TRACE}/{0:016x}", "tool_name": "search", "status": "success", "session_id": "s"},
            **{"started_at": at(2026, 11, 1, 9, 30, 0, 123456), "finished_at": at(2026, 11, 1, 9, 30, 1, 123456)},
            **common,
        },
        {
            **{"tool_call_id": f"{TRACE}/{1:016x}", "tool_name": "lookup", "status": "error", "user_id": "ada"},
            **{"started_at": at(2026, 11, 1, 9, 30, 0, 124456), "finished_at": at(2026, 11, 1, 9, 30, 1, 124456)},
            **common,
        },
    ]


def test_events_about_tool_results_are_reported() -> None:
    bash = {"event.name": "tool_result", "tool_name": "Bash", "success": "true", "duration_ms": "250"}
    bash |= {"tool_use_id": "toolu_1", "tool_result_size_bytes": "12", "session.id": "s", "tool_input": SECRET}
    shell = {"event.name": "codex.tool_result", "tool_name": "shell", "call_id": "c1", "success": "false"}
    shell |= {"duration_ms": 1500, "conversation.id": "s2", "arguments": SECRET, "output": SECRET}
    request = {"event.name": "api_request", "model": "claude-haiku-4-5", "tool_result": "x"}
    finished_at = at(2026, 11, 1, 9, 30, 0, 123456)
    assert calls("otel", logs(log(bash), log(request), resource={"service.name": "claude-code"})) == [
        {
            **{"tool_call_id": "toolu_1", "tool_name": "Bash", "status": "success", "duration_ms": 250.0},
            **{"result_bytes": 12, "session_id": "s", "app_name": "claude-code", "finished_at": finished_at},
        }
    ]
    later = {"timeUnixNano": str(START + SECOND)}
    assert calls("otel", logs(log(shell, **later), resource={"service.name": "codex_cli_rs"})) == [
        {
            **{"tool_call_id": "c1", "tool_name": "shell", "status": "error", "duration_ms": 1500.0},
            **{"session_id": "s2", "app_name": "codex", "finished_at": at(2026, 11, 1, 9, 30, 1, 123456)},
        }
    ]


def test_tool_calls_of_claude_code_telegram_land_and_can_be_undone(mart: Mart, project: Path) -> None:
    row = {"session_id": "s", "tool_name": "Bash", "tool_input": SECRET, "timestamp": "2026-11-01 09:30:00"}
    message = {"message_id": 1, "session_id": "s", "timestamp": "2026-11-01 09:30:00", "cost": 0.5}
    path = mart.write("tools.jsonl", {"id": 1, **row, "success": 1}, {"id": 2, **row, "success": False}, message)
    load = mart.json("load", path)
    assert [(file["landed"], file["skipped"], file["tool_calls"]) for file in load["files"]] == [(1, 2, 2)]
    found = "select tool_call_id, tool_name, status, started_at::varchar, app_name from raw_usage.tool_calls order by 1"
    assert mart.query(found) == [
        ("s/1", "Bash", "success", "2026-11-01 09:30:00+00", "claude-code-telegram"),
        ("s/2", "Bash", "error", "2026-11-01 09:30:00+00", "claude-code-telegram"),
    ]
    assert mart.query("select tool_calls_landed from raw_usage.loaded_files") == [(2,)]
    assert "  2 reports of tool calls" in mart.run("load", path, "--again").output.splitlines()
    mart.run("undo", load["load_id"], "--yes", "--no-build")
    assert len(mart.query(found)) == 2
