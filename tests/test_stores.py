"""Databases that other tools write are loaded like files: each row once, also while a tool writes to them."""

import contextlib
import hashlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import Mart, new_reader, tokenledger
from parsing import at, row
from tokenmart import spool, sqlite_store
from tokenmart.errors import UsageError
from tokenmart.files import find
from tokenmart.formats import Parser, names
from tokenmart.postgres_store import parse_url
from tokenmart.recognition import counts
from tokenmart.results import FileResult
from tokenmart.store_tables import POSTGRESQL_TABLES, SQLITE_TABLES
from warehouses import serve

TELEGRAM = """
    create table messages (
        message_id integer primary key autoincrement, session_id text not null, user_id integer not null,
        timestamp timestamp default current_timestamp, prompt text not null, response text, cost real default 0.0,
        duration_ms integer, error text
    )
"""
TOKENMETER = """
    create table usage_records (
        id text primary key, timestamp text not null, provider text not null, model text not null,
        input_tokens integer not null, output_tokens integer not null, cache_read_tokens integer default 0,
        cache_write_tokens integer default 0, input_cost text not null, output_cost text not null,
        total_cost text not null, session_id text, user_id text, tags text, is_estimate integer default 0
    )
"""
CTM = """
    create table cost_points (
        ts integer not null, session text not null, input_tokens integer not null, output_tokens integer not null,
        cache_tokens integer not null, cost_usd_micros integer not null
    )
"""
OPENCODE = """
    create table message (
        id text primary key, session_id text not null, time_created integer not null, {}data text not null
    )
"""
RECORD = ("2026-11-01T09:30:00.392658", "anthropic", "claude-sonnet-4-5", 10, 500, 30, "0.0225", "0.0045", "0.0270")
RECORD += ("s1", "u1", '{"team": "ml"}', 0)
SECRET = "a secret plan of a customer"
TIME = 1_793_525_400_123  # 2026-11-01 09:30:00.123 UTC
HOUR = 3_600_000
TIME_IN_LEDGER = 1_793_525_400_000_000  # 2026-11-01 09:30:00 UTC in microseconds


def write(path: Path, *statements: str, rows: list[tuple[Any, ...]] | None = None) -> Path:
    """Runs statements, of which the last inserts `rows` if there are any."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for number, statement in enumerate(statements, 1):
            if rows is not None and number == len(statements):
                connection.executemany(statement, rows)
            else:
                connection.execute(statement)
    return path


def say(path: Path, *numbers: int, error: str | None = None) -> Path:
    """Adds messages of claude-code-telegram, each for 0.25 dollars."""
    rows = [("s1", 7, f"2026-11-01T09:30:{n:02}", SECRET, SECRET, 0.25, 1500, error) for n in numbers]
    insert = "insert into messages (session_id, user_id, timestamp, prompt, response, cost, duration_ms, error)"
    return write(path, f"{insert} values (?, ?, ?, ?, ?, ?, ?, ?)", rows=rows)


def record(path: Path, *ids: str, output_tokens: int = 20) -> Path:
    """Adds or replaces records of tokenmeter, as tokenmeter does."""
    rows = [(id_, *RECORD[:4], output_tokens, *RECORD[4:]) for id_ in ids]
    return write(path, f"insert or replace into usage_records values ({', '.join('?' * 15)})", rows=rows)


def point(path: Path, *points: tuple[int, int], session: str = "s1") -> Path:
    """Adds cost points of ctm: a time in seconds after TIME, and the tokens so far."""
    rows = [(TIME + seconds * 1000, session, total, total, 0, total * 1000) for seconds, total in points]
    return write(path, "insert into cost_points values (?, ?, ?, ?, ?, ?)", rows=rows)


def message(id_: str, output: int, created: int = TIME, **fields: Any) -> tuple[str, str, int, str]:
    """A message of opencode, as id, session, time and data."""
    data = {
        "role": "assistant",
        "time": {"created": created, "completed": created + 1000},
        "modelID": "claude-sonnet-4-5",
        "providerID": "anthropic",
        "cost": 0.01,
        "tokens": {"input": 100, "output": output, "reasoning": 0, "cache": {"read": 0, "write": 0}},
        "structured": {"plan": SECRET},
        **fields,
    }
    return id_, "ses_1", created, json.dumps(data, indent=1)


def chat(path: Path, *messages: tuple[str, str, int, str], updated: int | None = None) -> Path:
    """Adds or updates messages of opencode. Their row keeps its rowid, as with opencode."""
    columns = (
        "(id, session_id, time_created, data)"
        if updated is None
        else "(id, session_id, time_created, data, time_updated)"
    )
    change = "data = excluded.data" + (", time_updated = excluded.time_updated" if updated is not None else "")
    values = ", ".join("?" * (4 if updated is None else 5))
    rows = [(*message, *([] if updated is None else [updated])) for message in messages]
    return write(
        path, f"insert into message {columns} values ({values}) on conflict (id) do update set {change}", rows=rows
    )


def loaded(mart: Mart, *arguments: str | Path, code: int = 0) -> tuple[int, int, int, int]:
    """Loads, and returns how many lines were read, landed, skipped and rejected."""
    result = mart.json("load", *arguments, code=code)
    read, landed, skipped, rejected = (
        sum(file[name] for file in result["files"]) for name in ("read", "landed", "skipped", "rejected")
    )
    assert read == landed + skipped + rejected
    return read, landed, skipped, rejected


class Loads:
    """Loads without a warehouse, each with the checkpoints of the one before. `events` are all landed rows."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.rejected: list[dict[str, Any]] = []
        self._checkpoints: dict[str, Any] = {}

    def load(self, *paths: str | Path, table: str | None = None, **options: Any) -> tuple[int, int, int, int]:
        """Loads, and returns how many lines were read, landed, skipped and rejected."""
        reader = new_reader(table=table, **options)
        for name, rows in reader.tables(find(map(str, paths), table=table), self._checkpoints):
            {"events": self.events, "rejected_lines": self.rejected}.get(name, []).extend(rows.to_pylist())
        assert not [file.problem for file in reader.result.files if file.problem]
        self._checkpoints = json.loads(json.dumps(reader.checkpoints))
        read, landed, skipped, rejected = map(reader.result.total, ("read", "landed", "skipped", "rejected"))
        assert read == landed + skipped + rejected
        return read, landed, skipped, rejected

    def file(self, *paths: str | Path, table: str | None = None, **options: Any) -> FileResult:
        """The result of a load of one file."""
        reader = new_reader(table=table, **options)
        assert not list(reader.tables(find(map(str, paths), table=table), {}))
        (file,) = reader.result.files
        return file

    def problem(self, *paths: str | Path, **options: Any) -> str:
        """Why a load could not read a store."""
        return str(self.file(*paths, **options).problem)

    def ids(self) -> tuple[int, int]:
        """The number of rows that have landed, and of different event ids."""
        return len(self.events), len({event["event_id"] for event in self.events})

    def output_tokens(self) -> dict[str, int]:
        """The most output tokens of each event."""
        events = sorted(self.events, key=lambda event: event["output_tokens"])
        return {event["event_id"]: event["output_tokens"] for event in events}


@pytest.fixture
def loads() -> Loads:
    return Loads()


def everything(mart: Mart) -> str:
    """All that the warehouse stores: the raw tables and the state of the loads."""
    tables = mart.query("select table_schema, table_name from information_schema.tables")
    rows = [mart.query(f'select * from "{schema}"."{name}"') for schema, name in tables]
    import base64
    import zlib

    states = mart.query("select state from raw_usage._dlt_pipeline_state")
    return str(rows) + "".join(zlib.decompress(base64.b64decode(state)).decode() for (state,) in states)


@pytest.fixture
def bot(tmp_path: Path) -> Path:
    return write(tmp_path / "bot.db", TELEGRAM)


def test_messages_of_claude_code_telegram_have_a_cost_and_a_status() -> None:
    line = {
        "message_id": 4,
        "session_id": "s1",
        "user_id": 7,
        "timestamp": "2026-11-01T09:30:00",
        "prompt": SECRET,
        "response": SECRET,
        "cost": 0.0425,
        "duration_ms": 1500,
        "error": "timeout_error",
    }
    expected = {
        "event_id": "s1/4",
        "occurred_at": at(2026, 11, 1, 9, 30),
        "duration_ms": 1500.0,
        "operation": "chat",
        "token_convention": "inclusive",
        "reported_cost_usd": pytest.approx(0.0425),
        "user_id": "7",
        "session_id": "s1",
        "app_name": "claude-code-telegram",
        "status": "error",
        "error_type": "timeout_error",
    }
    # a time without a zone is UTC, whatever --timezone says
    assert {
        name: float(value) if name == "reported_cost_usd" else value
        for name, value in row("claude_code_telegram", line, time_zone="America/New_York").items()
    } == expected
    fine = row("claude_code_telegram", {**line, "error": None, "cost": 0.0, "timestamp": "2026-11-01T10:30:00+01:00"})
    assert (fine["status"], fine["occurred_at"]) == ("success", at(2026, 11, 1, 9, 30))
    # the column's default is 0, so 0 is not a cost
    assert "reported_cost_usd" not in fine


def test_only_its_own_format_recognizes_a_message_of_claude_code_telegram() -> None:
    line = '{"message_id":1,"session_id":"s","timestamp":"2026-11-01T09:30:00","cost":0.1}'
    matches = counts(Parser(), [line])
    assert [name for name in names() if matches[name]] == ["claude_code_telegram"]


def test_rows_of_every_sqlite_store_land_with_their_totals(mart: Mart, project: Path, bot: Path) -> None:
    folder = mart.folder
    say(bot, 1, 2)
    record(write(folder / "meter.sqlite", TOKENMETER), "a", "b", "c")
    point(write(folder / "ctm.sqlite3", CTM), (0, 100), (1, 300))
    chat(
        write(folder / "opencode.db", OPENCODE.format("")), message("m1", 7), ("m2", "ses_1", TIME, '{"role": "user"}')
    )
    mart.write("events.jsonl", tokenledger("e1"))
    assert loaded(mart, folder) == (10, 9, 1, 0)
    query = (
        "select source_format, count(*), sum(input_tokens), sum(output_tokens), cast(sum(reported_cost_usd) as varchar)"
        " from raw_usage.events group by source_format order by source_format"
    )
    assert mart.query(query) == [
        ("claude_code_telegram", 2, None, None, "0.500000000000"),
        ("ctm", 2, 400, 400, "0.400000000000"),
        ("opencode", 1, 100, 7, "0.010000000000"),
        ("tokenledger", 1, 1000, 100, None),
        # tokenmeter's input tokens do not include its cached tokens
        ("tokenmeter", 3, 3 * 540, 60, "0.081000000000"),
    ]
    assert mart.query("select team, tags from raw_usage.events where source_format = 'tokenmeter' limit 1") == [
        ("ml", '{"team":"ml"}')
    ]
    assert SECRET not in everything(mart)
    assert loaded(mart, folder) == (0, 0, 0, 0)


def test_lines_of_a_store_are_numbered_over_loads_and_have_their_rowid(mart: Mart, project: Path, bot: Path) -> None:
    say(bot, 1, 2, 3)
    write(bot, "delete from messages where message_id = 2")
    loaded(mart, bot)
    say(bot, 4)
    loaded(mart, bot)
    query = "select source_file, source_line, source_offset from raw_usage.events order by source_line"
    assert mart.query(query) == [(str(bot), 1, 1), (str(bot), 2, 3), (str(bot), 3, 4)]
    files = "select first_offset, next_offset, lines_read, lines_landed from raw_usage.loaded_files order by loaded_at"
    assert mart.query(files) == [(0, 4, 2, 2), (4, 5, 1, 1)]


def test_content_is_loaded_only_with_keep_content(mart: Mart, project: Path, bot: Path) -> None:
    # a row without a time is rejected, and rejected lines are stored
    say(bot, 1)
    write(bot, "update messages set timestamp = null")
    assert loaded(mart, bot, code=3) == (1, 0, 0, 1)
    assert SECRET not in everything(mart)
    assert loaded(mart, bot, "--again", "--keep-content", code=3) == (1, 0, 0, 1)
    assert SECRET in everything(mart)


def test_a_rejected_row_is_listed_with_its_store(mart: Mart, project: Path) -> None:
    store = record(write(mart.folder / "meter.db", TOKENMETER), "a", "b")
    write(store, "update usage_records set output_tokens = -1 where id = 'b'")
    assert loaded(mart, store, code=3) == (2, 1, 0, 1)
    (rejected,) = mart.json("rejects")
    assert (rejected["file"], rejected["line"], rejected["reason"]) == (str(store), 2, "output_tokens is negative")


def test_a_load_of_a_store_can_be_undone(mart: Mart, project: Path, bot: Path) -> None:
    load_id = mart.json("load", say(bot, 1, 2))["load_id"]
    mart.run("undo", load_id, "--yes")
    assert mart.query("select count(*) from raw_usage.events") == [(0,)]
    assert loaded(mart, bot) == (0, 0, 0, 0)
    assert loaded(mart, bot, "--again") == (2, 2, 0, 0)


def test_a_dry_run_shows_the_first_rows(mart: Mart, project: Path, bot: Path) -> None:
    say(bot, *range(30))
    (preview,) = mart.json("load", bot, "--dry-run")
    assert (preview["format"], len(preview["events"]), preview["problem"]) == ("claude_code_telegram", 3, None)
    assert not mart.path.exists()
    assert "claude_code_telegram" in mart.run("load", bot, "--dry-run").output


def test_a_replaced_record_of_tokenmeter_lands_again_and_the_others_do_not(loads: Loads, tmp_path: Path) -> None:
    store = record(write(tmp_path / "meter.db", TOKENMETER), *(f"r{n}" for n in range(40)))
    assert loads.load(store)[1] == 40
    record(store, "r5", output_tokens=90)
    assert loads.load(store) == (1, 1, 0, 0)
    # the last row is replaced: the row that the checkpoint remembers is gone, so at most ten rows are read again
    record(store, "r5", output_tokens=91)
    read = loads.load(store)[0]
    assert 1 <= read <= 11
    assert loads.load(store) == (0, 0, 0, 0)
    assert loads.output_tokens()["r5"] == 91


def test_equal_points_of_ctm_keep_their_identity_in_later_loads(loads: Loads, tmp_path: Path) -> None:
    store = point(write(tmp_path / "ctm.db", CTM), (0, 100), (0, 100), (5, 200))
    assert loads.load(store) == (3, 3, 0, 0)
    assert loads.ids() == (3, 3)
    point(store, (0, 100), (5, 200))
    assert loads.load(store) == (2, 2, 0, 0)
    # the third and the second of their kind
    assert loads.ids() == (5, 5)
    assert loads.load(store, again=True) == (5, 5, 0, 0)
    assert loads.ids() == (10, 5)


@pytest.mark.parametrize("kept", [30, 0])
def test_new_rows_are_read_after_sqlite_has_renumbered_a_table(loads: Loads, tmp_path: Path, kept: int) -> None:
    store = point(write(tmp_path / "ctm.db", CTM), *((n, n) for n in range(1, 61)))
    assert loads.load(store)[1] == 60
    write(store, f"delete from cost_points where input_tokens <= {60 - kept}")
    with contextlib.closing(sqlite3.connect(store)) as connection:
        connection.execute("vacuum")
    point(store, (100, 1000))
    assert write(store, "select 1") and _rowids(store)[-1] == kept + 1
    assert loads.load(store)[1] == kept + 1
    assert loads.ids() == (60 + kept + 1, 61)
    assert loads.load(store) == (0, 0, 0, 0)


def _rowids(store: Path) -> list[int]:
    with contextlib.closing(sqlite3.connect(store)) as connection:
        return [rowid for (rowid,) in connection.execute("select rowid from cost_points order by rowid")]


@pytest.mark.parametrize("is_updated", [True, False], ids=["time_updated", "time_created"])
def test_a_growing_message_of_opencode_lands_again_and_unchanged_ones_do_not(
    loads: Loads, tmp_path: Path, is_updated: bool
) -> None:
    store = write(tmp_path / "opencode.db", OPENCODE.format("time_updated integer, " if is_updated else ""))

    def at_time(hours: float) -> int | None:
        return int(TIME + hours * HOUR) if is_updated else None

    chat(store, message("old", 1, TIME - 5 * HOUR), updated=at_time(-5))
    chat(store, message("m1", 0), message("m2", 5), updated=at_time(0))
    assert loads.load(store) == (3, 3, 0, 0)
    assert loads.load(store) == (0, 0, 0, 0)
    chat(store, message("m1", 40), updated=at_time(0.01))
    chat(store, message("m3", 8, TIME + 60_000), updated=at_time(0.02))
    assert loads.load(store) == (2, 2, 0, 0)
    # committed late: its time is before that of a row that was read
    chat(store, message("m4", 9, TIME - 1000), updated=at_time(-0.01))
    assert loads.load(store) == (1, 1, 0, 0)
    assert loads.load(store) == (0, 0, 0, 0)
    assert loads.output_tokens() == {"m1": 40, "m2": 5, "m3": 8, "m4": 9, "old": 1}


def test_the_first_messages_of_opencode_may_all_be_prompts(loads: Loads, tmp_path: Path) -> None:
    store = write(tmp_path / "opencode.db", OPENCODE.format(""))
    chat(store, *(message(f"p{n}", 0, role="user", modelID=None) for n in range(300)), message("m1", 5))
    assert loads.load(store) == (301, 1, 300, 0)
    assert loads.load(store, again=True, format="opencode") == (301, 1, 300, 0)


def test_the_overlap_decides_how_late_a_message_may_be(loads: Loads, tmp_path: Path) -> None:
    store = write(tmp_path / "opencode.db", OPENCODE.format(""))
    chat(store, message("m1", 1), message("m2", 2, TIME - 3 * HOUR))
    loads.load(store, overlap=4 * 3600)
    chat(store, message("m2", 20, TIME - 3 * HOUR))
    assert loads.load(store) == (0, 0, 0, 0)
    assert loads.load(store, overlap=4 * 3600) == (1, 1, 0, 0)


def test_a_message_from_the_future_does_not_hide_later_ones(loads: Loads, tmp_path: Path) -> None:
    store = write(tmp_path / "opencode.db", OPENCODE.format(""))
    now = int(time.time() * 1000)
    chat(store, message("m1", 1, now + 90 * 24 * HOUR), message("m2", 2, now - 60_000))
    assert loads.load(store) == (2, 2, 0, 0)
    chat(store, message("m3", 3, now))
    assert loads.load(store) == (1, 1, 0, 0)


def test_a_deleted_last_message_does_not_make_a_load_read_everything(loads: Loads, tmp_path: Path) -> None:
    store = write(tmp_path / "opencode.db", OPENCODE.format(""))
    chat(store, *(message(f"m{n}", n, TIME + n * HOUR) for n in range(30)))
    loads.load(store)
    write(store, "delete from message where id = 'm29'")
    chat(store, message("new", 1, TIME + 30 * HOUR))
    assert loads.load(store) == (1, 1, 0, 0)


def test_another_database_at_the_same_path_is_read_from_its_beginning(loads: Loads, tmp_path: Path) -> None:
    store = chat(write(tmp_path / "opencode.db", OPENCODE.format("")), message("m1", 1))
    loads.load(store)
    store.unlink()
    chat(write(store, OPENCODE.format("")), message("n1", 1, TIME - 9 * HOUR), message("n2", 2, TIME - 8 * HOUR))
    assert loads.load(store) == (2, 2, 0, 0)


def test_a_renamed_or_copied_store_is_not_landed_again(loads: Loads, tmp_path: Path, bot: Path) -> None:
    loads.load(say(bot, 1, 2))
    renamed = bot.rename(tmp_path / "renamed.db")
    say(renamed, 3)
    assert loads.load(renamed) == (1, 1, 0, 0)


def test_rows_of_a_store_are_read_in_pages(loads: Loads, bot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "PAGE_ROWS", 7)
    monkeypatch.setattr(spool, "BLOCK_BYTES", 300)
    say(bot, *range(50))
    assert loads.load(bot) == (50, 50, 0, 0)
    assert [event["source_line"] for event in loads.events] == list(range(1, 51))
    assert loads.ids() == (50, 50)


def test_odd_values_reject_only_their_row(loads: Loads, tmp_path: Path) -> None:
    store = record(write(tmp_path / "meter.db", TOKENMETER), "a", "b", "c", "d")
    write(store, "update usage_records set user_id = x'00ff' where id = 'b'")
    write(store, "update usage_records set tags = '{not json' where id = 'c'")
    write(store, "update usage_records set output_tokens = 'a\nb' where id = 'd'")
    read, landed, _, rejected = loads.load(store)
    assert (read, landed + rejected) == (4, 4)
    assert "output_tokens is not a number" in [line["reason"] for line in loads.rejected]
    assert {"a", "c"} <= {event["event_id"] for event in loads.events}

    messages = write(tmp_path / "opencode.db", OPENCODE.format(""))
    chat(messages, message("m1", 1), ("m2", "ses_1", TIME, f"{{{SECRET}\n"))
    assert loads.load(messages) == (2, 1, 0, 1)
    assert loads.rejected[-1]["line"] == '"m2" has data that is not JSON'


WRITER = """
import sqlite3, sys
path, mode, *insert = sys.argv[1:]
connection = sqlite3.connect(path, isolation_level=None)
connection.execute(f"pragma journal_mode = {mode}")
connection.execute("begin immediate")
connection.execute("insert into messages (session_id, user_id, timestamp, prompt, cost) values"
    " ('s1', 7, '2026-11-01T09:31:00', '', 1)")
print("ready", flush=True)
sys.stdin.readline()
connection.execute("commit")
print("done", flush=True)
sys.stdin.readline()
"""


@contextlib.contextmanager
def writer(path: Path, mode: str) -> Iterator[subprocess.Popen[str]]:
    """A process that has added a message in a transaction, which it commits when it gets a line."""
    command = [sys.executable, "-c", WRITER, str(path), mode]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin and process.stdout
    try:
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_store_is_read_while_a_writer_has_an_open_transaction(loads: Loads, bot: Path, mode: str) -> None:
    say(bot, 1, 2)
    with writer(bot, mode) as process:
        assert process.stdin and process.stdout
        assert loads.load(bot) == (2, 2, 0, 0)
        print(file=process.stdin, flush=True)
        # the writer was not locked out
        assert process.stdout.readline() == "done\n"
        # with a write-ahead log, the new row is not in the file yet
        assert loads.load(bot) == (1, 1, 0, 0)


def test_a_locked_store_is_reported(loads: Loads, tmp_path: Path, bot: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "BUSY_SECONDS", 0.1)
    say(bot, 1)
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None);"
        " c.execute('begin exclusive'); print('ready', flush=True); sys.stdin.readline()"
    )
    command = [sys.executable, "-c", code, str(bot)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stdout.readline() == "ready\n"
        try:
            expected = f"{bot}: SQLite: database is locked; another program is writing to it, so try again later"
            assert loads.problem(bot) == expected
            # also in a folder, this is not a file that is left out by a rule
            assert not loads.file(tmp_path).is_foreign
        finally:
            process.kill()
    assert loads.load(bot) == (1, 1, 0, 0)


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_load_does_not_change_a_store(loads: Loads, bot: Path, mode: str) -> None:
    say(bot, 1)
    with contextlib.closing(sqlite3.connect(bot)) as connection:
        connection.execute(f"pragma journal_mode = {mode}")
    before = hashlib.sha256(bot.read_bytes()).digest(), bot.stat().st_mtime_ns
    loads.load(bot)
    assert (hashlib.sha256(bot.read_bytes()).digest(), bot.stat().st_mtime_ns) == before


def test_a_database_without_a_known_table_is_reported_with_its_tables(loads: Loads, tmp_path: Path) -> None:
    store = write(tmp_path / "shop.db", "create table orders (id)", "create table customers (id)")
    expected = (
        f"{store}: a database without a table that Tokenmart knows; its tables are customers, orders. It knows messages"
        " (claude-code-telegram), tool_usage (claude-code-telegram), usage_records (tokenmeter), cost_points (ctm),"
        " message (opencode)"
    )
    assert loads.problem(store) == expected
    # in a folder, it is left out
    assert loads.file(tmp_path).is_foreign
    empty = write(tmp_path / "empty.db", "pragma user_version = 1")
    assert loads.problem(empty).startswith(
        f"{empty}: a database without a table that Tokenmart knows; it has no tables."
    )


def test_a_known_table_without_its_columns_is_reported(loads: Loads, tmp_path: Path) -> None:
    store = write(tmp_path / "chat.db", "create table messages (id, text)")
    expected = (
        "the table messages has no column message_id, session_id, timestamp, cost, which claude-code-telegram's"
        " messages has; its columns are id, text"
    )
    assert loads.problem(store) == f"{store}: {expected}"
    assert loads.problem(store, table="nothing") == f"{store}: there is no table nothing; its tables are messages"


def test_a_table_is_chosen_if_there_are_several_or_it_has_another_name(loads: Loads, bot: Path) -> None:
    record(write(say(bot, 1), TOKENMETER), "a")
    assert loads.problem(bot).endswith("knows several of its tables (messages, usage_records); choose one with --table")
    assert loads.load(bot, table="usage_records") == (1, 1, 0, 0)
    assert loads.load(bot, table="messages") == (1, 1, 0, 0)
    write(bot, "alter table messages rename to archive")
    assert loads.load(bot, table="archive", again=True) == (1, 1, 0, 0)
    expected = f"{bot}: its table archive has the format claude_code_telegram, not ctm"
    assert loads.problem(bot, table="archive", format="ctm") == expected


def test_other_databases_and_compressed_ones_are_reported(loads: Loads, tmp_path: Path, bot: Path) -> None:
    import gzip

    packed = tmp_path / "bot.db.gz"
    packed.write_bytes(gzip.compress(say(bot, 1).read_bytes()))
    expected = f"{packed}: a SQLite database can only be read from an uncompressed local file"
    assert loads.problem(packed) == expected
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thumbs.db").write_bytes(b"\xd0\xcf\x11\xe0 not SQLite")
    assert loads.problem(tmp_path / "other").endswith("thumbs.db: not a SQLite database")
    bot.write_bytes(bot.read_bytes()[:1000])
    assert "SQLite: " in loads.problem(bot)


def test_formats_shows_the_format_of_a_store(mart: Mart, bot: Path) -> None:
    (found,) = mart.json("formats", say(bot, 1))
    assert found == {"file": str(bot), "format": "claude_code_telegram", "why": "its table messages"}


def test_columns_with_content_are_not_among_those_that_are_read() -> None:
    content = {"prompt", "response", "messages", "request_preview", "response_preview", "proxy_server_request"}
    for table in (*SQLITE_TABLES, *POSTGRESQL_TABLES):
        assert not content & {*table.required, *table.optional}, table.name


def test_a_table_of_postgresql_must_be_named() -> None:
    with pytest.raises(UsageError, match=r"^postgresql://db:5432/usage: there is no --table"):
        find(["postgresql://ada:hunter2@db:5432/usage"])


@pytest.mark.parametrize(
    ("url", "name", "dsn"),
    [
        ("postgres://db/usage", "postgresql://db/usage", "host='db' dbname='usage'"),
        # characters that a URL should encode, but a user may not
        ("postgresql://ada:p@ss/w%?rd@db:1/usage", "postgresql://db:1/usage", "password='p@ss/w%?rd'"),
        ("postgresql://ada:it's%20me@db/usage", "postgresql://db/usage", r"password='it\'s me'"),
        ("postgresql://a:1,b:2/usage?sslmode=require", "postgresql://a:1,b:2/usage", "host='a,b' port='1,2'"),
        ("postgresql:///usage?host=/run/pg", "postgresql:///usage", "host='/run/pg'"),
        ("postgresql://db/usage?password=hunter2", "postgresql://db/usage", "password='hunter2'"),
        ("postgresql://[::1]:5433/usage", "postgresql://[::1]:5433/usage", "host='::1' port='5433'"),
    ],
)
def test_the_name_of_a_database_has_no_password(url: str, name: str, dsn: str) -> None:
    database = parse_url(url)
    assert database.name == name
    assert dsn in database.dsn
    assert "p@ss" not in repr(database) and "hunter2" not in repr(database)


@pytest.mark.parametrize("url", ["postgresql://ada:hunter2?x@db", "postgresql://u:hunter2#/db:x"])
def test_an_invalid_url_is_not_quoted(url: str) -> None:
    try:
        database = parse_url(url)
    except UsageError as error:
        assert "hunter2" not in f"{error} {error.hint}"
    else:
        assert "hunter2" not in database.name


def test_a_wrong_overlap_is_reported(mart: Mart, project: Path, bot: Path) -> None:
    assert "4 is not a duration" in mart.run("load", bot, "--overlap", "4", code=2).output


def test_a_missing_driver_is_reported_with_what_to_install(loads: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql", None)
    expected = (
        "postgresql://127.0.0.1:1/usage/token_ledger_events: the driver for PostgreSQL is not installed; install it:"
        " pip install 'tokenmart[stores]'"
    )
    assert loads.problem("postgresql://127.0.0.1:1/usage", table="token_ledger_events") == expected


def test_an_unreachable_database_is_one_message_without_the_password(mart: Mart, loads: Loads, project: Path) -> None:
    url = "postgresql://ada:hunter2@127.0.0.1:1/usage"
    message = loads.problem(url, table="token_ledger_events")
    assert message.startswith("postgresql://127.0.0.1:1/usage/token_ledger_events: PostgreSQL: ")
    assert "Connection refused" in message
    for arguments in (["load"], ["run"], ["load", "--dry-run"]):
        output = mart.run(*arguments, url, "--table", "token_ledger_events", code=1).output
        assert "Connection refused" in output and "hunter2" not in output


LEDGER = """
    create table token_ledger_events (
        event_id uuid primary key, trace_id uuid, span_id uuid, timestamp timestamptz not null,
        duration_ms double precision, provider varchar(50), model varchar(100), input_tokens integer not null,
        output_tokens integer not null, total_tokens integer not null, cached_tokens integer, cost_usd decimal(12, 8),
        user_id varchar(100), status varchar(20), error_message text, metadata jsonb, request_preview text,
        response_preview text, team varchar(100)
    );
    create index on token_ledger_events (timestamp)
"""
SPEND = """
    create table "LiteLLM_SpendLogs" (
        request_id text primary key, call_type text not null, api_key text not null default '', spend double precision,
        total_tokens integer, prompt_tokens integer, completion_tokens integer, "startTime" timestamp(3) not null,
        "endTime" timestamp(3) not null, "completionStartTime" timestamp(3), model text, custom_llm_provider text,
        "user" text, metadata jsonb, cache_hit text, request_tags jsonb, messages jsonb, response jsonb, status text
    )
"""
PASSWORD = "correct horse/battery@staple"


class Ledger:
    """A PostgreSQL server with the two tables, and a role that may only read."""

    def __init__(self, settings: dict[str, Any]) -> None:
        import psycopg2

        self.connect = lambda: psycopg2.connect(**{**settings, "options": "-c timezone=UTC"})
        self.host = f"{settings['host']}:{settings['port']}"
        self.run(f"create role ada login password '{PASSWORD}'")
        # times without a zone are in UTC, whatever the zone of a session
        self.run("grant pg_read_all_data to ada", "alter role ada set timezone = 'Asia/Tokyo'")

    @property
    def url(self) -> str:
        return f"postgresql://ada@{self.host}/postgres"

    def run(self, *statements: str) -> None:
        with contextlib.closing(self.connect()) as connection, connection, connection.cursor() as cursor:
            for statement in statements:
                cursor.execute(statement)

    def clear(self) -> None:
        self.run(
            "drop schema public cascade",
            "create schema public",
            "grant usage on schema public to public",
            LEDGER,
            SPEND,
        )

    def add(self, number: int, time_: str = "2026-11-01 09:30:00+00", tokens: int = 100) -> None:
        self.run(ledger_row(number, time_, tokens))


def ledger_row(number: int, time_: str = "2026-11-01 09:30:00+00", tokens: int = 100) -> str:
    """A statement that adds an event of TokenLedger."""
    return (
        "insert into token_ledger_events (event_id, timestamp, duration_ms, provider, model, input_tokens,"
        " output_tokens, total_tokens, cost_usd, user_id, status, metadata, request_preview, team) values"
        f" ('00000000-0000-0000-0000-{number:012}', '{time_}', 812.5, 'openai', 'gpt-4o', {tokens}, 10, {tokens} + 10,"
        f" 0.0021, 'u1', 'success', '{{\"k\": 1}}', '{SECRET}', 'ml')"
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ledger]:
    with serve("postgres", tmp_path_factory.mktemp("postgres")) as settings:
        yield Ledger(settings)


@pytest.fixture
def ledger(server: Ledger, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    server.clear()
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    return server


EVENTS = "token_ledger_events"


def test_events_of_tokenledger_land_from_postgresql(mart: Mart, project: Path, ledger: Ledger) -> None:
    for number in range(1, 4):
        ledger.add(number)
    assert loaded(mart, ledger.url, "--table", EVENTS) == (3, 3, 0, 0)
    name = f"postgresql://{ledger.host}/postgres/token_ledger_events"
    query = (
        "select source_format, source_file, count(*), sum(input_tokens), cast(sum(reported_cost_usd) as varchar),"
        " min(occurred_at)::varchar, min(team), min(tags), min(source_offset), max(source_line) from raw_usage.events"
        " group by all"
    )
    assert mart.query(query) == [
        ("tokenledger", name, 3, 300, "0.006300000000", "2026-11-01 09:30:00+00", "ml", '{"k":1}', TIME_IN_LEDGER, 3)
    ]
    assert SECRET not in everything(mart)
    assert loaded(mart, ledger.url, "--table", EVENTS) == (0, 0, 0, 0)


def test_late_and_changed_events_land_and_unchanged_ones_do_not(loads: Loads, ledger: Ledger) -> None:
    ledger.add(1, "2026-11-01 08:00:00+00")
    ledger.add(2)
    ledger.add(3)
    assert loads.load(ledger.url, table=EVENTS) == (3, 3, 0, 0)
    ledger.add(4, "2026-11-01 09:00:00+00")
    assert loads.load(ledger.url, table=EVENTS) == (1, 1, 0, 0)
    ledger.run("update token_ledger_events set output_tokens = 99 where event_id::text like '%2'")
    assert loads.load(ledger.url, table=EVENTS) == (1, 1, 0, 0)
    assert loads.load(ledger.url, table=EVENTS) == (0, 0, 0, 0)
    # later than the overlap
    ledger.add(5, "2026-11-01 08:10:00+00")
    assert loads.load(ledger.url, table=EVENTS) == (0, 0, 0, 0)
    assert loads.load(ledger.url, table=EVENTS, overlap=7200) == (1, 1, 0, 0)
    assert loads.ids() == (6, 5)


def test_rows_of_a_transaction_that_was_open_during_a_load_land_once(loads: Loads, ledger: Ledger) -> None:
    ledger.add(1)
    assert loads.load(ledger.url, table=EVENTS) == (1, 1, 0, 0)
    with contextlib.closing(ledger.connect()) as slow, slow.cursor() as cursor:
        # a row of a savepoint has a transaction id of its own
        cursor.execute(ledger_row(2))
        cursor.execute("savepoint one")
        cursor.execute(ledger_row(3))
        cursor.execute("release savepoint one")
        ledger.add(4)
        assert loads.load(ledger.url, table=EVENTS) == (1, 1, 0, 0)
        # the open transaction does not make the row land again
        assert loads.load(ledger.url, table=EVENTS) == (0, 0, 0, 0)
        slow.commit()
    assert loads.load(ledger.url, table=EVENTS) == (2, 2, 0, 0)
    assert loads.load(ledger.url, table=EVENTS) == (0, 0, 0, 0)
    assert loads.ids() == (4, 4)


def test_an_event_from_the_future_does_not_hide_later_ones(loads: Loads, ledger: Ledger) -> None:
    ledger.add(1, "2099-01-01 00:00:00+00")
    ledger.add(2)
    assert loads.load(ledger.url, table=EVENTS) == (2, 2, 0, 0)
    ledger.add(3, "2026-11-01 09:31:00+00")
    assert loads.load(ledger.url, table=EVENTS) == (1, 1, 0, 0)
    ledger.add(4, "infinity")
    assert loads.load(ledger.url, table=EVENTS) == (1, 0, 0, 1)


def test_a_table_that_was_created_again_is_read_from_its_beginning(loads: Loads, ledger: Ledger) -> None:
    ledger.add(1)
    loads.load(ledger.url, table=EVENTS)
    ledger.clear()
    ledger.add(2, "2026-10-01 09:30:00+00")
    assert loads.load(ledger.url, table=EVENTS) == (1, 1, 0, 0)


def test_a_view_of_a_schema_is_read_by_its_columns(loads: Loads, ledger: Ledger) -> None:
    ledger.run("create schema finance", "create view finance.requests as select * from token_ledger_events")
    ledger.add(1)
    view = "finance.requests"
    try:
        assert loads.load(ledger.url, table=view) == (1, 1, 0, 0)
        ledger.add(2, "2026-11-01 09:29:00+00")
        assert loads.load(ledger.url, table=view) == (1, 1, 0, 0)
        assert loads.load(ledger.url, table=view) == (0, 0, 0, 0)
    finally:
        ledger.run("drop schema finance cascade")


def spend(number: int, started: str, cost: float) -> str:
    return (
        'insert into "LiteLLM_SpendLogs" (request_id, call_type, spend, prompt_tokens, completion_tokens, "startTime",'
        ' "endTime", model, custom_llm_provider, "user", metadata, request_tags, messages, status) values'
        f" ('chatcmpl-{number}', 'acompletion', {cost}, 100, 10, '{started}', timestamp '{started}' + interval '2 s',"
        " 'gpt-4o', 'openai', 'u1', '{\"user_api_key_team_alias\": \"search\"}', '[\"env:prod\"]',"
        f" to_jsonb('{SECRET}'::text), 'success')"
    )


def test_spend_logs_of_litellm_land_from_postgresql(mart: Mart, project: Path, ledger: Ledger) -> None:
    ledger.run(spend(1, "2026-11-01 09:30:00", 0.5), spend(2, "2026-11-01 09:30:01", 0.25))
    table = ("--table", "LiteLLM_SpendLogs")
    assert loaded(mart, ledger.url, *table) == (2, 2, 0, 0)
    # its times have no zone, and are in UTC
    query = (
        "select event_id, occurred_at::varchar, duration_ms, team, tags, reported_cost_usd::varchar"
        " from raw_usage.events order by event_id limit 1"
    )
    assert mart.query(query) == [
        ("chatcmpl-1", "2026-11-01 09:30:00+00", 2000.0, "search", '{"env":"prod"}', "0.500000000000")
    ]
    ledger.run(spend(3, "2026-11-01 09:10:00", 0.25), spend(4, "2026-11-01 09:31:00", 0.25))
    assert loaded(mart, ledger.url, *table) == (2, 2, 0, 0)
    assert loaded(mart, ledger.url, *table) == (0, 0, 0, 0)
    assert mart.query("select cast(sum(reported_cost_usd) as varchar) from raw_usage.events") == [("1.250000000000",)]
    assert SECRET not in everything(mart)
    assert loaded(mart, ledger.url, *table, "--again", "--keep-content") == (4, 4, 0, 0)


def test_tables_that_cannot_be_read_are_one_message(loads: Loads, ledger: Ledger) -> None:
    name = f"postgresql://{ledger.host}/postgres"
    expected = f"{name}/events: there is no table events; its tables are LiteLLM_SpendLogs, token_ledger_events"
    assert loads.problem(ledger.url, table="events") == expected
    ledger.run("create table events (event_id int, note text)")
    expected = (
        f"{name}/events: the table events has no column timestamp, provider, model, input_tokens, output_tokens, which"
        " TokenLedger's token_ledger_events has; its columns are event_id, note"
    )
    assert loads.problem(ledger.url, table="events") == expected
    ledger.run("create role nobody login password 'n'")
    try:
        denied = loads.problem(f"postgresql://nobody:n@{ledger.host}/postgres", table=EVENTS)
        assert "permission denied for table token_ledger_events" in denied
    finally:
        ledger.run("drop role nobody")
    ledger.run("update token_ledger_events set user_id = null", "alter table token_ledger_events drop column model")
    assert "has no column model" in loads.problem(ledger.url, table=EVENTS)


@pytest.mark.parametrize("place", ["url", "raw url", "query", "environment", "pgpass"])
def test_the_password_is_never_visible(
    mart: Mart,
    project: Path,
    ledger: Ledger,
    place: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    from urllib.parse import quote

    ledger.add(1)
    url = ledger.url
    if place != "environment":
        monkeypatch.delenv("PGPASSWORD")
    if place == "url":
        url = url.replace("ada@", f"ada:{quote(PASSWORD, safe='')}@")
    elif place == "raw url":
        url = url.replace("ada@", f"ada:{PASSWORD}@")
    elif place == "query":
        url += f"?password={quote(PASSWORD, safe='')}"
    elif place == "pgpass":
        passwords = mart.folder / "pgpass"
        passwords.touch(mode=0o600)
        passwords.write_text(f"*:*:*:ada:{PASSWORD}\n")
        monkeypatch.setenv("PGPASSFILE", str(passwords))
    output = mart.run("load", url, "--table", EVENTS, "--debug").output
    output += mart.run("load", url, "--table", "nothing", code=1).output
    output += mart.run("load", url, "--table", EVENTS, "--again", "--dry-run").output
    output += (
        mart.run("status").output
        + mart.run("load", url.replace("/postgres", "/missing"), "--table", EVENTS, code=1).output
    )
    seen = output + everything(mart) + "".join(capfd.readouterr())
    for part in (PASSWORD, quote(PASSWORD, safe=""), "horse", "battery"):
        assert part not in seen
    assert mart.query("select count(*) from raw_usage.events") == [(1,)]


def test_a_wrong_password_is_not_repeated(loads: Loads, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "hunter2 from the environment")
    message = loads.problem(ledger.url, table=EVENTS)
    assert "password authentication failed" in message and "hunter2" not in message
    message = loads.problem(f"postgresql://ada:50%off@{ledger.host}/postgres", table=EVENTS)
    assert "password authentication failed" in message and "off" not in message.replace("postgresql", "")
