"""Session files of Codex and Gemini CLI, in which requests need facts from earlier lines, become the expected rows."""

import json
from pathlib import Path
from typing import Any

import pytest

from conftest import Mart, as_lines, new_reader
from parsing import Line, at
from tokenmart.checkpoints import Checkpoint
from tokenmart.files import find

SESSION, CHILD = "019e0001-0000-7000-8000-000000000001", "019e0002-0000-7000-8000-000000000002"
OLD_TURN, NEW_TURN = "019e0001-0400-7000-8000-000000000003", "019e0002-0400-7000-8000-000000000004"
COUNTS = ("input_tokens", "cached_input_tokens", "cache_write_input_tokens", "output_tokens", "reasoning_output_tokens")


def usage(*counts: int) -> Line:
    """Codex's counts: input, cached, written to the cache, output, reasoning."""
    return {**dict(zip(COUNTS, counts, strict=True)), "total_tokens": counts[0] + counts[3]}


def codex(line_type: str, second: int = 0, **payload: Any) -> Line:
    """A line of a Codex session."""
    return {"timestamp": f"2026-11-01T09:30:{second:02}.500Z", "type": line_type, "payload": payload}


def meta(session_id: str = SESSION, **payload: Any) -> Line:
    """The first line of a Codex session, which began at 09:30:00.100."""
    return codex("session_meta", id=session_id, timestamp="2026-11-01T09:30:00.100Z", **payload)


def counted(second: int, total: Line | None, last: Line | None = None, **payload: Any) -> Line:
    """A line with the totals and the counts of the last request."""
    info = {"total_token_usage": total, "last_token_usage": last, "model_context_window": 1000}
    return codex("event_msg", second, type="token_count", info=info if total or last else None, **payload)


def turn(model: str, turn_id: str = OLD_TURN, **payload: Any) -> Line:
    """A line with the model of the next requests."""
    return codex("turn_context", turn_id=turn_id, model=model, **payload)


def task(turn_id: str, started_at: int | None = None) -> Line:
    """A line that begins a turn."""
    return codex("event_msg", type="task_started", turn_id=turn_id, started_at=started_at)


def events(path: Path, *, stored: dict[str, Checkpoint] | None = None, **options: Any) -> list[Line]:
    """The events that a load of a file lands, without their empty columns."""
    reader = new_reader(**options)
    rows: list[Line] = []
    for table, found in reader.tables(find([str(path)]), stored or {}):
        rows += found.to_pylist() if table == "events" else []
    if stored is not None:
        stored.update(reader.checkpoints)
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def landed(folder: Path, *lines: Line) -> list[Line]:
    """The events of a file with these lines."""
    path = folder / "rollout.jsonl"
    path.write_bytes(as_lines(*lines))
    return events(path)


def counts(rows: list[Line]) -> list[tuple[int, ...]]:
    """Input, cached, output and reasoning tokens of each event."""
    names = ("input_tokens", "cache_read_tokens", "output_tokens", "reasoning_tokens")
    return [tuple(row[name] for name in names) for row in rows]


# ---------------------------------------------------------------- codex


def test_a_request_of_codex_has_the_facts_of_earlier_lines(tmp_path: Path) -> None:
    (row,) = landed(
        tmp_path,
        meta(model_provider="openai", cwd="/w", originator="codex_cli_rs", git={"branch": "main"}),
        turn("gpt-5.5", effort="medium"),
        codex("response_item", type="message", role="user", content=[{"type": "input_text", "text": "Hello"}]),
        counted(
            9, usage(42000, 3400, 100, 200, 120), usage(42000, 3400, 100, 200, 120), rate_limits={"plan_type": "plus"}
        ),
    )
    assert {name: row[name] for name in row if name not in ("source_file", "source_offset", "loaded_at")} == {
        "event_id": f"{SESSION}/42000-3400-200-120",
        "occurred_at": at(2026, 11, 1, 9, 30, 9, 500_000),
        "provider": "openai",
        "model": "gpt-5.5",
        "operation": "chat",
        "input_tokens": 42000,
        "cache_read_tokens": 3400,
        "cache_write_tokens": 100,
        "output_tokens": 200,
        "reasoning_tokens": 120,
        "token_convention": "inclusive",
        "session_id": SESSION,
        "project": "/w",
        "app_name": "codex",
        "component": "codex_cli_rs",
        "status": "success",
        "tags": '{"effort":"medium","git_branch":"main","plan_type":"plus"}',
        "extra": '{"payload.info.model_context_window":1000}',
        "source_format": "codex",
        "source_line": 4,
    }


def test_counts_that_are_written_again_are_one_request(tmp_path: Path) -> None:
    first, second = usage(100, 50, 0, 10, 5), usage(300, 150, 0, 30, 10)
    last = usage(200, 100, 0, 20, 5)
    rows = landed(
        tmp_path,
        meta(),
        counted(1, None, rate_limits={}),
        counted(2, first, first),
        counted(3, first, first),
        counted(4, second, last),
        counted(5, second, last),
    )
    assert counts(rows) == [(100, 50, 10, 5), (200, 100, 20, 5)]
    assert [row["source_line"] for row in rows] == [3, 5]


def test_old_versions_have_only_totals_which_can_start_again(tmp_path: Path) -> None:
    rows = landed(
        tmp_path,
        meta(),
        counted(1, usage(1000, 800, 0, 100, 40)),
        counted(2, usage(1500, 900, 0, 130, 50)),
        counted(3, usage(0, 0, 0, 0, 0)),
        counted(4, usage(900, 700, 0, 60, 20)),
    )
    assert counts(rows) == [(1000, 800, 100, 40), (500, 100, 30, 10), (900, 700, 60, 20)]


def test_a_full_context_is_no_request(tmp_path: Path) -> None:
    full = {**usage(0, 0, 0, 0, 0), "total_tokens": 258_400}
    rows = landed(tmp_path, meta(), counted(1, full, full), counted(2, usage(9, 0, 0, 1, 0), usage(9, 0, 0, 1, 0)))
    assert counts(rows) == [(9, 0, 1, 0)]


def test_the_model_is_that_of_the_last_turn_or_unknown(tmp_path: Path) -> None:
    rows = landed(
        tmp_path,
        meta(),
        counted(1, usage(1, 0, 0, 1, 0)),
        turn("small"),
        counted(2, usage(2, 0, 0, 2, 0)),
        turn("large"),
        counted(3, usage(3, 0, 0, 3, 0)),
    )
    assert [row.get("model") for row in rows] == [None, "small", "large"]


@pytest.mark.parametrize(
    "parent",
    [{"forked_from_id": SESSION}, {"source": {"subagent": {"thread_spawn": {"parent_thread_id": SESSION}}}}],
    ids=["fork", "subagent"],
)
@pytest.mark.parametrize(
    ("old", "new"),
    [
        # 2026-11-01 09:29:59 and 09:30:00
        ([task("any", 1793525399)], [task("any", 1793525400)]),
        ([turn("small", OLD_TURN)], [turn("small", NEW_TURN)]),
        ([task(OLD_TURN), turn("small", OLD_TURN)], [task(NEW_TURN), turn("small", NEW_TURN)]),
    ],
    ids=["time of the turn", "id of the turn", "id of the task"],
)
def test_the_lines_of_the_parent_do_not_count_again(
    tmp_path: Path, parent: Line, old: list[Line], new: list[Line]
) -> None:
    rows = landed(
        tmp_path,
        meta(CHILD, **parent),
        meta(SESSION, forked_from_id="grandparent"),
        *old,
        counted(1, usage(1000, 800, 0, 50, 10), usage(600, 500, 0, 20, 5)),
        counted(2, usage(2000, 1600, 0, 90, 20)),
        *new,
        # without counts of the request, it is the difference to the copied totals
        counted(3, usage(2500, 1800, 0, 110, 25)),
        counted(4, usage(2600, 1800, 0, 120, 25), usage(100, 0, 0, 10, 0)),
    )
    assert counts(rows) == [(500, 200, 20, 5), (100, 0, 10, 0)]
    assert {row["session_id"] for row in rows} == {CHILD}
    assert rows[0]["tags"] is not None and json.loads(rows[0]["tags"])["forked_from_id"] == SESSION


LINES = [
    meta(model_provider="openai"),
    *[
        line
        for number in range(1, 40)
        for line in (
            turn(f"model-{number % 3}"),
            codex("response_item", type="message", role="user", content=[{"type": "input_text", "text": "Hello" * 20}]),
            counted(number, usage(number * 100, number * 10, 0, number * 7, number)),
        )
    ],
]


def test_a_session_that_is_loaded_in_parts_gives_the_same_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = landed(tmp_path, *LINES)
    assert len(whole) == 39 and counts(whole)[1:] == [(100, 10, 7, 1)] * 38
    for name, size in (("lines.READ_BYTES", 300), ("lines.BLOCK_BYTES", 500), ("reader.BATCH_BYTES", 1000)):
        monkeypatch.setattr(f"tokenmart.{name}", size)
    path, stored, parts = tmp_path / "parts.jsonl", dict[str, Checkpoint](), []
    for first, last in ((0, 1), (1, 4), (4, 30), (30, 31), (31, len(LINES))):
        with path.open("ab") as file:
            file.write(as_lines(*LINES[first:last]))
        # a renamed file, as on another machine
        path = path.rename(tmp_path / f"parts{last}.jsonl")
        parts += events(path, stored=stored)
    varying = ("source_file", "loaded_at")
    assert [{name: row[name] for name in row if name not in varying} for row in parts] == [
        {name: row[name] for name in row if name not in varying} for row in whole
    ]


def test_batches_have_the_lines_of_several_sessions(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / f"{name}.jsonl").write_bytes(
            as_lines(meta(name), turn(f"model-{name}"), counted(1, usage(ord(name), 0, 0, 1, 0)))
        )
    rows = events(tmp_path)
    assert [(row["session_id"], row["model"], row["input_tokens"]) for row in rows] == [
        ("a", "model-a", 97),
        ("b", "model-b", 98),
        ("c", "model-c", 99),
    ]


def test_a_resumed_session_that_was_copied_counts_once(mart: Mart) -> None:
    lines = [meta(), turn("gpt-4o"), counted(1, usage(100, 0, 0, 10, 0)), counted(2, usage(300, 0, 0, 30, 0))]
    mart.write("first.jsonl", *lines)
    mart.run("load", mart.write("second.jsonl", *lines, counted(3, usage(350, 0, 0, 31, 0))), mart.folder)
    assert mart.query("select count(*), count(distinct event_id) from raw_usage.events") == [(5, 3)]


def test_a_session_from_before_token_counts_is_skipped_and_reported(mart: Mart) -> None:
    lines = [
        {"id": SESSION, "timestamp": "2025-06-01T09:30:00.000Z", "instructions": None, "git": {}},
        {"record_type": "state"},
        {"type": "message", "role": "user", "content": []},
    ]
    path = mart.write("rollout.jsonl", *lines)
    output = mart.run("load", path).output
    assert f"no requests in {path} (codex): all 3 lines were skipped" in output


# ---------------------------------------------------------------- gemini_cli

CHAT = {"sessionId": "s1", "projectHash": "ab12", "startTime": "2026-11-01T09:30:00.000Z", "kind": "main"}


def message(message_id: str, tokens: Line | None, **fields: Any) -> Line:
    """A reply of Gemini."""
    return {
        **{"id": message_id, "timestamp": "2026-11-01T09:30:05.000Z", "type": "gemini", "content": "Hi"},
        **{"tokens": tokens, "model": "gemini-3-flash-preview", **fields},
    }


def tokens(*numbers: int) -> Line:
    """Gemini's counts: input, output, cached, thoughts, tool; with their total."""
    names = ("input", "output", "cached", "thoughts", "tool")
    total = numbers[0] + numbers[1] + numbers[3] + numbers[4]
    return {**dict(zip(names, numbers, strict=True)), "total": total}


def test_a_message_of_gemini_lands(tmp_path: Path) -> None:
    (row,) = landed(
        tmp_path,
        CHAT,
        {"id": "m1", "timestamp": "2026-11-01T09:30:01.000Z", "type": "user", "content": "Hello"},
        message("m2", tokens(11855, 81, 9000, 40, 15)),
        {"$set": {"lastUpdated": "2026-11-01T09:30:05.001Z"}},
        {"$rewindTo": "m1"},
    )
    assert {name: row[name] for name in row if name not in ("source_file", "source_offset", "loaded_at")} == {
        "event_id": "s1/m2",
        "occurred_at": at(2026, 11, 1, 9, 30, 5),
        "provider": "google",
        "model": "gemini-3-flash-preview",
        "operation": "chat",
        # 11,855 and 15 of tool results; 81 and 40 thoughts
        "input_tokens": 11870,
        "cache_read_tokens": 9000,
        "output_tokens": 121,
        "reasoning_tokens": 40,
        "token_convention": "inclusive",
        "snapshot_version": 3,
        "session_id": "s1",
        "app_name": "gemini_cli",
        "status": "success",
        "source_format": "gemini_cli",
        "source_line": 3,
    }


def test_the_last_counts_of_a_message_count_even_if_they_are_smaller(mart: Mart) -> None:
    update = {"type": "message_update", "id": "m3", "tokens": tokens(70, 7, 0, 0, 0)}
    lines = [
        CHAT,
        message("m2", None),
        message("m2", tokens(10103, 9, 0, 0, 0)),
        message("m2", tokens(7168, 8, 0, 0, 0)),
        message("m3", tokens(80, 9, 0, 0, 0)),
        update,
    ]
    mart.run("run", mart.write("session.jsonl", *lines))
    assert mart.query(
        "select event_id, model, input_tokens, output_tokens, snapshot_version from marts.llm_requests order by 1"
    ) == [("s1/m2", "gemini-3-flash-preview", 7168, 8, 4), ("s1/m3", "gemini-3-flash-preview", 70, 7, 6)]


def test_thoughts_that_are_only_in_the_total_count(tmp_path: Path) -> None:
    (row,) = landed(tmp_path, CHAT, message("m2", {"input": 100, "output": 10, "total": 135}))
    assert counts([{"cache_read_tokens": 0, **row}]) == [(100, 0, 35, 25)]


def test_the_names_of_geminis_api_are_read_too(tmp_path: Path) -> None:
    api = {"promptTokenCount": 100, "cachedContentTokenCount": 60, "candidatesTokenCount": 10, "thoughtsTokenCount": 5}
    (row,) = landed(tmp_path, CHAT, message("m2", {**api, "toolUsePromptTokenCount": 3, "totalTokenCount": 118}))
    assert counts([row]) == [(103, 60, 15, 5)]


def test_a_line_that_repeats_all_messages_has_several_requests(tmp_path: Path) -> None:
    rows = landed(
        tmp_path,
        CHAT,
        message("m2", tokens(10, 1, 0, 0, 0)),
        {"$set": {"messages": [message("m2", tokens(10, 1, 0, 0, 0)), message("m3", tokens(20, 2, 0, 0, 0))]}},
    )
    assert [(row["event_id"], row["snapshot_version"]) for row in rows] == [("s1/m2", 2), ("s1/m2", 3), ("s1/m3", 3)]


def test_an_old_session_is_one_object_in_many_lines(tmp_path: Path) -> None:
    path = tmp_path / "session.json"
    old = {**CHAT, "messages": [message("m2", tokens(10, 1, 0, 0, 0)), message("m3", tokens(20, 2, 0, 0, 0))]}
    path.write_text(json.dumps(old, indent=2))
    rows = events(path)
    assert [(row["event_id"], row["input_tokens"], row["source_line"]) for row in rows] == [
        ("s1/m2", 10, 1),
        ("s1/m3", 20, 1),
    ]
