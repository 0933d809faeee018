"""Each line is landed once, even if files are renamed or grow, or a load is interrupted."""

import contextlib
import dataclasses
import gzip
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

import tokenmart.destinations.duckdb
import tokenmart.prefetch
from conftest import Mart, as_line, as_lines, tokenledger, zstd
from story import BOOKKEEPING
from tokenmart import locks
from tokenmart.destinations import lock
from tokenmart.errors import TokenmartError
from tokenmart.profile import Target
from tokenmart.sample import FORMATS, write_sample


def contents(mart: Mart) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of the requests and of every mart, without the bookkeeping columns."""
    models = mart.query(
        "select table_name from duckdb_tables() where schema_name = 'marts' and table_name not in"
        " ('loads', 'request_days', 'affected_dates', 'build_settings', 'model_names', 'model_prefixes',"
        " 'model_prices', 'passed_on_prices', 'provider_aliases', 'budgets', 'invoices',"
        " 'price_overrides')"
    )
    assert ("daily_costs",) in models
    columns = f"columns(lambda name: name not in {BOOKKEEPING})"
    return {model: sorted(mart.query(f"select {columns} from marts.{model}"), key=repr) for (model,) in models}


def everything(mart: Mart) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables in the schema of the marts, except those that every run writes to."""
    models = mart.query(
        "select table_name from duckdb_tables()"
        " where schema_name = 'marts' and table_name not in ('loads', 'affected_dates', 'tool_calls')"
    )
    return {model: sorted(mart.query(f"select * from marts.{model}"), key=repr) for (model,) in models}


def events(mart: Mart) -> list[tuple[Any, ...]]:
    """The id, line and offset of each event of a complete load."""
    return mart.query(
        "select event_id, source_line, source_offset from raw_usage.events"
        " where _dlt_load_id in (select load_id from raw_usage._dlt_loads where status = 0)"
        " order by source_file, source_offset, event_id"
    )


def counts(loaded: dict[str, Any]) -> tuple[int, int, int, int]:
    """Lines read, landed, skipped and rejected in all files of a load."""
    for file in loaded["files"]:
        assert file["read"] == file["landed"] + file["skipped"] + file["rejected"]
    read, landed, skipped, rejected = (
        sum(file[name] for file in loaded["files"]) for name in ("read", "landed", "skipped", "rejected")
    )
    return read, landed, skipped, rejected


def ctm(session: str, ts: int, total: int) -> dict[str, Any]:
    """A ctm line, which has no id."""
    tokens = {"input_tokens": total, "output_tokens": total, "cache_tokens": 0, "cost_usd_micros": 7 * total}
    return {"ts": 1767225600000 + ts, "session": session, **tokens}


# ---------------------------------------------------------------- the same marts


def test_the_order_of_loading_does_not_change_the_marts(mart: Mart, tmp_path: Path) -> None:
    write_sample(tmp_path / "logs", events=40, days=9, seed=3, formats=FORMATS)
    files = sorted(path for path in (tmp_path / "logs").rglob("[!.]*") if path.is_file())
    assert len(files) > 8
    mart.run("load", tmp_path / "logs")
    mart.run("build")
    expected = contents(mart)
    assert len(expected["llm_requests"]) == 160

    mart.path.unlink()
    for number, file in enumerate(reversed(files)):
        renamed = tmp_path / "moved" / f"{number}.jsonl"
        renamed.parent.mkdir(exist_ok=True)
        shutil.copy(file, renamed)
        mart.run("load", renamed)
        if number in (2, len(files) // 2, len(files) - 1):
            mart.run("build")
    found = contents(mart)
    for model in expected:
        assert found[model] == expected[model], model

    # load the files again under their first names, and then from the beginning
    before = everything(mart)
    assert counts(mart.json("load", tmp_path / "logs")) == (0, 0, 0, 0)
    assert counts(mart.json("load", tmp_path / "logs", "--again"))[1] > 160
    mart.run("build")
    after = everything(mart)
    for model in before:
        assert after[model] == before[model], model
    assert contents(mart)["tool_calls"] == expected["tool_calls"] != []


def test_the_order_of_loading_does_not_decide_between_equally_full_snapshots(mart: Mart) -> None:
    differences: list[dict[str, Any]] = [
        *({"team": "ml"}, {"app_name": "api"}, {"error_message": "late"}, {"endpoint": "/v2"}, {"trace_id": "t"}),
        *({"metadata": {"k": 1}}, {"cached_tokens": 7}, {"timestamp": "2026-10-02T00:00:00Z"}, {"user_id": "u2"}),
    ]
    common = {"team": "care", "metadata": {"k": 2}, "app_name": "web", "error_message": "early"}
    lines = [tokenledger(f"e{number}", **common) for number in range(len(differences))]
    others = [{**line, **difference} for line, difference in zip(lines, differences, strict=True)]
    found = []
    for order in ([lines, others], [others, lines]):
        mart.path.unlink(missing_ok=True)
        for delivered in order:
            mart.run("load", mart.write("lines.jsonl", *delivered), "--again")
            mart.run("build")
        found.append(contents(mart))
    for row, other in zip(found[0]["llm_requests"], found[1]["llm_requests"], strict=True):
        assert row == other
    assert found[0] == found[1]


def grown(lines: list[dict[str, Any]], cuts: tuple[int, int]) -> list[bytes]:
    """The content of a file of these lines at three times, each with complete lines."""
    content = [as_line(line) + b"\n" for line in lines]
    return [b"".join(content[:cut]) for cut in (*cuts, len(content))]


WITHOUT_IDS = [
    *(tokenledger(None, f"2026-01-05T00:00:{i:02}Z", user_id="u1") for i in range(20)),
    *(tokenledger(None, "2026-01-05T00:00:19Z", user_id="u1") for _ in range(3)),  # identical to the last one
    tokenledger(None, "2026-01-04T00:00:00Z"),  # late
    *(tokenledger(None, "2026-01-05T00:00:19Z", user_id="u1") for _ in range(2)),
    *(tokenledger(None, f"2026-01-06T00:00:{i:02}Z", user_id="u1") for i in range(20)),
]
TOTALS = [
    *(ctm("s1", 1000 * i, 10 * i) for i in range(1, 20)),
    *(ctm("s1", 19_000, 190) for _ in range(4)),
    ctm("s2", 500, 5),
    *(ctm("s1", 19_000, 190) for _ in range(2)),
    *(ctm("s2", 100_000_000 * i, 10 * i) for i in range(1, 20)),
]
LEDGER = [
    *(tokenledger(f"e{i}", f"2026-01-0{1 + i // 10}T00:00:00Z", cost_usd=i / 1000) for i in range(40)),
    *(tokenledger(f"e{i}", f"2026-01-0{1 + i // 10}T00:00:00Z", output_tokens=50 + 3 * i) for i in range(0, 40, 3)),
    tokenledger("late", "2026-01-01T00:00:00Z"),
]


def test_a_file_that_grows_in_three_steps_gives_the_same_marts_as_one_load(mart: Mart, tmp_path: Path) -> None:
    # cut between equal lines, and before a late one
    states = {
        "without_ids.jsonl": grown(WITHOUT_IDS, (21, 24)),
        "totals.jsonl": grown(TOTALS, (20, 24)),
        "ledger.jsonl": grown(LEDGER, (17, 45)),
    }
    folder = tmp_path / "logs"
    folder.mkdir()
    for step in range(3):
        for name, contents_ in states.items():
            (folder / name).write_bytes(contents_[step])
        loaded = mart.json("load", folder)
        new_lines = [
            contents_[step].count(b"\n") - (contents_[step - 1].count(b"\n") if step else 0)
            for contents_ in states.values()
        ]
        assert counts(loaded) == (sum(new_lines), sum(new_lines), 0, 0)
        mart.run("build")
    found, found_events = contents(mart), events(mart)
    mart.path.unlink()
    mart.run("load", folder)
    mart.run("build")
    expected = contents(mart)
    assert found_events == events(mart)
    for model in expected:
        assert found[model] == expected[model], model
    # 46 requests without an id, 45 ctm points in two sessions with totals of 190 each, and 41 other requests
    assert mart.query("select count(*) from marts.llm_requests") == [(46 + 45 + 41,)]
    assert mart.query(
        "select session_id, requests, output_tokens from marts.sessions where session_id <> 'unattributed' order by 1"
    ) == [("s1", 25, 190), ("s2", 20, 190)]


# ---------------------------------------------------------------- what is read


def test_an_incomplete_last_line_waits_for_the_next_load(mart: Mart, project: Path) -> None:
    content = as_lines(*(tokenledger(f"e{i}") for i in range(5)))
    path = mart.folder / "growing.jsonl"
    cut = content.rindex(b'"model"')
    path.write_bytes(content[:cut])
    assert counts(mart.json("load", path)) == (4, 4, 0, 0)
    assert counts(mart.json("load", path)) == (0, 0, 0, 0)
    path.write_bytes(content[:-1])  # all but the last newline
    assert counts(mart.json("load", path)) == (0, 0, 0, 0)
    assert counts(mart.json("load", path, "--final")) == (1, 1, 0, 0)
    path.write_bytes(content + as_lines(tokenledger("e5")))
    loaded = mart.json("load", path)
    assert (counts(loaded)[1], counts(loaded)[3]) == (1, 0)
    assert [row[0] for row in events(mart)] == ["e0", "e1", "e2", "e3", "e4", "e5"]


def test_a_file_that_only_begins_like_another_is_read_completely(mart: Mart, project: Path) -> None:
    same = [tokenledger(f"same {i}") for i in range(40)]  # longer than the head that is compared
    path = mart.write("a.jsonl", *same, *(tokenledger(f"a{i}") for i in range(10)))
    assert counts(mart.json("load", path)) == (50, 50, 0, 0)
    other = mart.write("b.jsonl", *same, *(tokenledger(f"b{i}") for i in range(20)))
    assert counts(mart.json("load", other)) == (60, 60, 0, 0)
    # rewritten under the same name, first with fewer lines and then with more
    path = mart.write("a.jsonl", *same[:5])
    assert counts(mart.json("load", path)) == (5, 5, 0, 0)
    path = mart.write("a.jsonl", *(tokenledger(f"c{i}") for i in range(60)))
    assert counts(mart.json("load", path)) == (60, 60, 0, 0)
    assert len({row[0] for row in events(mart)}) == 40 + 10 + 20 + 60


@pytest.mark.parametrize(("pack", "suffix"), [(gzip.compress, ".gz"), (zstd, ".zst")])
def test_a_compressed_copy_of_a_file_is_recognized(
    pack: Callable[[bytes], bytes], suffix: str, mart: Mart, project: Path
) -> None:
    lines = [as_line(tokenledger(f"e{i}")) + b"\n" for i in range(9)]
    plain = mart.folder / "app.jsonl"
    plain.write_bytes(b"".join(lines[:3]))
    mart.run("load", plain)
    # the log as it was when it was rotated, compressed in two parts
    compressed = mart.folder / f"app.jsonl.1{suffix}"
    compressed.write_bytes(pack(b"".join(lines[:2])) + pack(b"".join(lines[2:6])))
    assert counts(mart.json("load", compressed)) == (3, 3, 0, 0)
    compressed.write_bytes(pack(b"".join(lines)))
    assert counts(mart.json("load", compressed)) == (3, 3, 0, 0)
    plain.write_bytes(b"".join(lines))
    assert counts(mart.json("load", plain)) == (0, 0, 0, 0)
    assert sorted(row[0] for row in events(mart)) == [f"e{i}" for i in range(9)]
    assert {row[2] for row in events(mart)} == {sum(map(len, lines[:i])) for i in range(9)}


def run_tokenmart(*arguments: str | Path, **options: Any) -> "subprocess.CompletedProcess[bytes]":
    """Runs the command in a separate process."""
    command = [sys.executable, "-c", "from tokenmart.cli import main; main()", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, timeout=60, **options)


def test_standard_input_is_read_to_the_end_each_time(mart: Mart, project: Path) -> None:
    content = b"\n".join(as_line(tokenledger(f"e{i}")) for i in range(4))  # no newline at the end
    for piped in (content, gzip.compress(content)):
        done = run_tokenmart("load", "-", "--json", input=piped)
        assert done.returncode == 0, done.stderr
        assert counts(json.loads(done.stdout)) == (4, 4, 0, 0)
    assert [row[0] for row in events(mart)] == [f"e{i}" for i in range(4) for _ in range(2)]
    assert mart.query("select distinct source_file from raw_usage.events") == [("standard input",)]


def test_a_folder_may_contain_every_format_compressed_or_not(mart: Mart, project: Path) -> None:
    folder = mart.folder / "logs"
    write_sample(folder, events=30, days=3, seed=1, formats=FORMATS)
    ledger, points = folder / "tokenledger/2026-10.jsonl", folder / "ctm/cost_points.jsonl"
    ledger.with_suffix(".jsonl.gz").write_bytes(gzip.compress(ledger.read_bytes()))
    points.with_suffix(".ndjson.zst").write_bytes(zstd(points.read_bytes()))
    ledger.unlink()
    points.unlink()
    mart.write("logs/app.log", tokenledger("in a .log"))
    mart.write("logs/notes.txt", "not a log")
    mart.write("logs/data.csv", "a,b")
    loaded = mart.json("load", folder)
    assert {file["format"] for file in loaded["files"]} == set(FORMATS)
    assert counts(loaded)[3] == 0 and not any(file["problem"] for file in loaded["files"])
    found = dict(mart.query("select source_format, count(distinct event_id) from raw_usage.events group by 1"))
    assert found == {"claude_code": 30, "ctm": 30, "tokenledger": 31, "tokenmeter": 30}


def test_the_line_counts_of_loaded_files_add_up(mart: Mart, project: Path) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"), "", "broken", tokenledger("e2"), "  ")
    mart.run("load", path, code=3)
    with path.open("ab") as stream:
        stream.write(as_line(tokenledger("e3")) + b"\n7\n")
    # a file that is named in several ways is read once
    mart.run("load", path, mart.write("b.jsonl", tokenledger("e4")), mart.folder / "*.jsonl", path, code=3)
    rows = mart.query(
        "select source_file, first_offset, next_offset, lines_read, lines_landed, lines_skipped, lines_rejected"
        " from raw_usage.loaded_files order by source_file, first_offset"
    )
    first, second = rows[0][2], path.stat().st_size
    assert rows == [
        (str(path), 0, first, 5, 2, 2, 1),
        (str(path), first, second, 2, 1, 0, 1),
        (str(mart.folder / "b.jsonl"), 0, (mart.folder / "b.jsonl").stat().st_size, 1, 1, 0, 0),
    ]
    places = mart.query("select source_line, reason from raw_usage.rejected_lines order by 1")
    assert places == [(3, "not JSON"), (7, "not a JSON object")]


def test_the_readable_lines_of_a_truncated_file_land_and_the_file_is_named(mart: Mart, project: Path) -> None:
    # lines that compress badly, so that many of them are in the first half
    lines = [as_line(tokenledger(f"e{i}", trace_id=f"{i * 2654435761 % 2**64:x}")) + b"\n" for i in range(5000)]
    compressed = gzip.compress(b"".join(lines))
    path = mart.folder / "broken.jsonl.gz"
    path.write_bytes(compressed[: len(compressed) // 2])
    other = mart.write("fine.jsonl", tokenledger("fine"))
    result = mart.run("load", path, other, "--json", code=3)
    broken, fine = json.loads(result.stdout)["files"]
    assert str(path) in broken["problem"] and fine["problem"] is None
    assert 1000 < broken["landed"] < 4000
    assert (fine["read"], fine["landed"]) == (1, 1)
    assert str(path) in mart.run("load", path, other, code=3).output
    # the rest lands when the file is complete
    path.write_bytes(compressed)
    assert mart.json("load", path)["files"][0]["landed"] == 5000 - broken["landed"]
    assert len({row[0] for row in events(mart)}) == 5001 == len(events(mart))


# ---------------------------------------------------------------- what is refused


def test_a_path_without_files_is_a_usage_error(mart: Mart, project: Path) -> None:
    empty = mart.folder / "empty"
    empty.mkdir()
    for path in (mart.folder / "missing.jsonl", empty, mart.folder / "*.jsonl"):
        result = mart.run("load", path, code=2)
        assert str(path) in result.output and "Traceback" not in result.output
    assert not mart.path.exists()


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("report.pdf", b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<< /Type /Catalog >>\nendobj\n", "line 1"),
        ("costs.csv", b"\nday,cost\n2026-01-01,3.2\n", "line 2"),
        ("array.jsonl", b"[1, 2]\n[3]\n", "line 1"),
        ("other.jsonl", b'{"level": "info", "message": "hello"}\n', "line 1"),
    ],
)
def test_a_file_that_is_not_a_log_is_refused_with_its_name_and_a_line(
    name: str, content: bytes, line: str, mart: Mart, project: Path
) -> None:
    path = mart.folder / name
    path.write_bytes(content)
    output = mart.run("load", path, code=1).output
    assert output.count(name) == 1 and line in output and "Traceback" not in output
    # together with a good file, it is left out
    output = mart.run("load", path, mart.write("good.jsonl", tokenledger("e1")), code=3).output
    assert output.count(name) == 1 and line in output
    assert [row[0] for row in events(mart)] == ["e1"]


def test_more_rejected_lines_than_the_limit_change_the_exit_code(mart: Mart, project: Path) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"), "broken", tokenledger("e2"), "broken too")
    assert "2 rejected" in mart.run("load", path, "--max-rejects", "2").output
    mart.run("load", path, "--again", "--max-rejects", "1", code=3)
    output = mart.run("load", path, "--again", code=3).output
    assert f"{path}:2" in output and "not JSON" in output
    mart.run("load", path)  # nothing new, nothing rejected


BAD_LINES = [
    b"not json",
    b'  {"event_id": "in spaces"  ',
    b'{"event_id": "latin-1 \xe9"}',
    b'{"event_id": "nul \x00"}',
    b"\x00\x01\x02\xff\xfe",
    as_line(tokenledger("no time", "yesterday")),
    as_line(tokenledger("negative", input_tokens=-1)) + b"\r",
    as_line({**tokenledger("no timestamp"), "timestamp": None}),
    '{"event_id": "emoji 🙂 ünïcode"'.encode(),
    b'"just a text"',
    b'{"event_id": "twice", "event_id": "twice"}',
    b'\\N,"; drop table events; --',
    b"\t x \t",
    b"x" * 100_000,
]


def test_rejected_lines_are_exported_unchanged_and_land_when_they_are_fixed(mart: Mart, project: Path) -> None:
    path = mart.write("a.jsonl", tokenledger("good"), *BAD_LINES, tokenledger("good too"))
    assert counts(mart.json("load", path, code=3)) == (16, 2, 0, 14)
    export = mart.folder / "export" / "rejects.jsonl"
    export.parent.mkdir()
    mart.run("rejects", "--export", export)
    assert export.read_bytes() == b"".join(line + b"\n" for line in BAD_LINES)

    fixed = [as_line(tokenledger(f"fixed {i}")) for i in range(len(BAD_LINES))]
    export.write_bytes(b"".join(line + b"\n" for line in fixed))
    assert counts(mart.json("load", export)) == (14, 14, 0, 0)
    assert len({row[0] for row in events(mart)}) == 16


# ---------------------------------------------------------------- where checkpoints are stored


def test_checkpoints_are_stored_in_the_warehouse(mart: Mart, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load(mart: Mart) -> tuple[int, int, int, int]:
        monkeypatch.setenv("TOKENMART_DUCKDB_PATH", str(mart.path))
        return counts(mart.json("load", path))

    first, second = (dataclasses.replace(mart, path=mart.folder / f"{name}.duckdb") for name in ("first", "second"))
    path = first.write("a.jsonl", *(tokenledger(f"e{i}") for i in range(5)))
    assert load(first) == (5, 5, 0, 0)
    assert load(second) == (5, 5, 0, 0), "another target has no checkpoints yet"
    assert len(list((project / ".tokenmart").iterdir())) == 2, "each target has its own working folder"
    assert not list(project.glob(".tokenmart/*/*")), "a load leaves nothing in it"
    shutil.rmtree(project / ".tokenmart")
    assert load(first) == load(second) == (0, 0, 0, 0), "the working folder does not store checkpoints"
    second.path.unlink()
    assert load(second) == (5, 5, 0, 0), "a new warehouse has no checkpoints"
    moved = dataclasses.replace(first, path=first.path.rename(first.folder / "moved.duckdb"))
    assert load(moved) == (0, 0, 0, 0), "a warehouse that is moved keeps its checkpoints"


def test_older_duckdb_versions_can_open_the_file(mart: Mart) -> None:
    version = "select tags['storage_version'] from duckdb_databases() where database_name = 'mart'"
    mart.run("load", mart.write("a.jsonl", tokenledger("e1")))
    for _ in range(2):
        with duckdb.connect(str(mart.path), read_only=True) as connection:
            (found,) = connection.execute(version).fetchall()
        assert str(found[0]).startswith("v1.4.0"), "v1.4.0 and later read it"
        mart.run("build")


# ---------------------------------------------------------------- other programs, and loads that are interrupted

HOLD = """
import sys, time, duckdb
connection = duckdb.connect(sys.argv[1])
print("held", flush=True)
time.sleep(float(sys.argv[2]))
"""


@contextlib.contextmanager
def held(path: Path, seconds: float, script: str = HOLD) -> Iterator[None]:
    """Another process has the DuckDB file open, for this time at most."""
    process = subprocess.Popen([sys.executable, "-c", script, path, str(seconds)], stdout=subprocess.PIPE)
    assert process.stdout
    process.stdout.readline()
    try:
        yield
    finally:
        process.kill()
        process.communicate()


def test_a_load_waits_for_a_file_that_another_program_has_open_and_then_names_it(
    mart: Mart, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"))
    mart.run("load", path)
    with held(mart.path, 1):
        assert counts(mart.json("load", path, "--again")) == (1, 1, 0, 0)
    monkeypatch.setattr(tokenmart.destinations.duckdb, "LOCK_SECONDS", 0.2)
    with held(mart.path, 60):
        for arguments in (["load", path], ["load", path, "--dry-run"], ["status"], ["rejects"]):
            result = mart.run(*arguments, code=1)
            assert f"{mart.path} is open" in result.output and "in another program" in result.output
            assert result.output.count("another program") == 1 and "Traceback" not in result.output
    assert counts(mart.json("load", path)) == (0, 0, 0, 0)


def test_concurrent_loads_land_every_line_once(mart: Mart, project: Path) -> None:
    path = mart.write("a.jsonl", *(tokenledger(f"e{i}") for i in range(500)))
    command = [Path(sys.executable).with_name("tokenmart"), "load", path, "--json"]
    with locks.lock_file(mart.path.with_name("mart.duckdb.lock"), "build", print):
        loads = [
            subprocess.Popen(command, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            for _ in range(2)
        ]
        for process in loads:
            assert process.stderr
            assert "(build by " in process.stderr.readline()
    landed = [json.loads(process.communicate(timeout=120)[0])["files"][0]["landed"] for process in loads]
    assert sorted(landed) == [0, 500]
    assert mart.query("select count(*), count(distinct event_id) from raw_usage.events") == [(500, 500)]


READ = HOLD.replace("connect(sys.argv[1])", "connect(sys.argv[1], read_only=True)")


def test_reports_work_while_another_program_reads_the_file(
    mart: Mart, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"), "broken")
    mart.run("load", path, code=3)
    monkeypatch.setattr(tokenmart.destinations.duckdb, "LOCK_SECONDS", 0.2)
    with held(mart.path, 60, READ):
        assert mart.json("status")["events"] == 1
        assert len(mart.json("rejects")) == 1
        assert "nothing new" in mart.run("load", path, "--dry-run").output
        assert "only if no other program has it open" in mart.run("load", path, "--again", code=1).output
    with held(mart.path, 60):
        assert "open for writing in another program" in mart.run("status", code=1).output


KILLED = """
import pathlib, signal, sys, time
from dlt.destinations.impl.duckdb.duck import DuckDbClient
from dlt.pipeline.pipeline import Pipeline
from tokenmart.cli import main
from tokenmart.reader import Reader

def reached(*_, **__):
    pathlib.Path(sys.argv[2]).touch()
    time.sleep(60)

def first_table(self, *arguments):
    tables = all_tables(self, *arguments)
    yield next(tables)
    reached()

# a shell may make background processes ignore SIGINT
signal.signal(signal.SIGINT, signal.default_int_handler)
all_tables = Reader.tables
if sys.argv[1] == "while it reads":
    Reader.tables = first_table
elif sys.argv[1] == "before it loads":
    Pipeline.load = reached
else:
    DuckDbClient.complete_load = reached
main(sys.argv[3:])
"""


def process_until(moment: str, path: Path, mart: Mart, **options: Any) -> "subprocess.Popen[bytes]":
    """Starts a process that loads a file, and waits until it reaches this moment."""
    script, marker = mart.folder / "killed.py", mart.folder / "reached"
    script.write_text(KILLED)
    process = subprocess.Popen([sys.executable, script, moment, marker, "load", path], **options)
    deadline = time.monotonic() + 60
    while not marker.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert marker.exists()
    return process


@pytest.mark.parametrize("moment", ["while it reads", "before it loads", "before it is complete"])
@pytest.mark.parametrize("is_first", [True, False], ids=["in the first load", "in a later load"])
def test_a_killed_load_neither_loses_nor_duplicates_lines(
    moment: str, is_first: bool, mart: Mart, project: Path
) -> None:
    path = mart.write("a.jsonl", *(tokenledger(f"e{i}") for i in range(500)), "broken")
    if not is_first:
        mart.run("load", path, code=3)
        with path.open("ab") as stream:
            stream.write(as_lines(*(tokenledger(f"f{i}") for i in range(500))))
            stream.write(b"broken too\n")
    process = process_until(moment, path, mart)
    process.send_signal(signal.SIGKILL)
    process.wait()
    # a later load starts dlt when it has read something new, which may be before or after the kill
    assert len(list(project.glob(".tokenmart/*/load-*"))) in ((0, 1) if moment == "while it reads" else (1,))

    if moment == "before it is complete":
        status = mart.json("status")
        assert status["orphaned"] == 501, "the rows are there, but do not count"
        assert status["events"] == (0 if is_first else 500)
    loaded = mart.json("load", path, code=3)
    assert counts(loaded) == (501, 500, 0, 1)
    status = mart.json("status")
    assert (status["orphaned"], status["events"]) == (0, 500 if is_first else 1000)
    ids = [row[0] for row in events(mart)]
    assert len(ids) == len(set(ids)) == status["events"]
    assert mart.query("select count(*) from raw_usage.events") == [(status["events"],)]
    assert not list(project.glob(".tokenmart/*/load-*"))


def test_an_unusable_working_folder_is_reported_in_two_lines(mart: Mart, project: Path) -> None:
    (project / ".tokenmart").write_text("a file")
    result = mart.run("load", mart.write("a.jsonl", tokenledger("e")), code=1)
    assert "Cannot write to" in result.output and len(result.output.splitlines()) == 2


@pytest.mark.parametrize("path", ["-", "fifo"])
def test_a_failed_load_does_not_wait_for_the_end_of_a_pipe(path: str, mart: Mart, project: Path) -> None:
    (project / ".tokenmart").write_text("a file")
    os.mkfifo(project / "fifo")
    command = [sys.executable, "-c", "from tokenmart.cli import main; main()", "load", path]
    process = subprocess.Popen(command, cwd=project, stdin=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin and process.stderr
    with process, process.stdin if path == "-" else (project / path).open("wb") as stream:
        stream.write(as_lines(tokenledger("e")))
        stream.flush()
        assert process.wait(timeout=60) == 1
        assert b"Cannot write to" in process.stderr.read()


def test_a_failure_does_not_wait_forever_for_prefetched_items(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenmart.prefetch, "WAIT_SECONDS", 0.1)
    is_released, is_over = threading.Event(), threading.Event()

    def blocking() -> Generator[int]:
        yield 1
        is_released.wait(10)
        is_over.set()

    with pytest.raises(TokenmartError, match="the warehouse failed"), tokenmart.prefetch.prefetch(blocking()) as items:
        assert next(items) == 1
        raise TokenmartError("the warehouse failed")
    assert not is_over.is_set()
    is_released.set()


def test_an_unfinished_prefetch_is_closed() -> None:
    is_closed = threading.Event()

    def closing() -> Generator[int]:
        try:
            yield from range(3)
        finally:
            is_closed.set()

    with tokenmart.prefetch.prefetch(closing()) as items:
        assert next(items) == 0
    assert is_closed.is_set()


def test_a_prefetch_thread_that_computes_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenmart.prefetch, "WAIT_SECONDS", 0.1)
    is_over = threading.Event()

    def computing() -> Generator[int]:
        yield 1
        time.sleep(0.5)
        is_over.set()

    with tokenmart.prefetch.prefetch(computing(), lambda: not is_over.is_set()) as items:
        assert next(items) == 1
    assert is_over.is_set()


def test_an_interrupted_load_says_so_and_has_no_effect(mart: Mart, project: Path) -> None:
    path = mart.write("a.jsonl", *(tokenledger(f"e{i}") for i in range(50)))
    process = process_until("before it loads", path, mart, stderr=subprocess.PIPE)
    process.send_signal(signal.SIGINT)
    _, message = process.communicate(timeout=30)
    assert process.returncode == 130
    assert message.startswith(b"Stopped.") and message.count(b"\n") == 1
    assert counts(mart.json("load", path)) == (50, 50, 0, 0)


def test_a_killed_load_has_no_effect_even_if_its_working_folder_is_gone(mart: Mart, project: Path) -> None:
    path = mart.write("a.jsonl", *(tokenledger(f"e{i}") for i in range(50)))
    mart.run("load", path)
    # as after a container was killed during a load: rows of a load that never became complete
    mart.query("insert into raw_usage.events select * replace ('9999999999.9' as _dlt_load_id) from raw_usage.events")
    assert mart.json("status")["orphaned"] == 50
    assert counts(mart.json("load", path)) == (0, 0, 0, 0)
    assert len(events(mart)) == 50 == mart.json("status")["events"]


@pytest.mark.parametrize("neighbors", [0, 1])
def test_a_line_of_fifty_megabytes_lands_if_the_format_must_be_recognized(mart: Mart, neighbors: int) -> None:
    long = tokenledger("long", blob="x" * 50_000_000)
    path = mart.write("a.jsonl", *(tokenledger(f"e{number}") for number in range(neighbors)), long)
    assert mart.json("load", path)["files"][0]["landed"] == neighbors + 1
    assert mart.query("select extra from raw_usage.events where event_id = 'long'")[0][0].startswith('{"too_long')


def test_a_load_without_new_lines_imports_neither_dlt_nor_pyarrow(mart: Mart, project: Path) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"))
    mart.run("load", path)
    script = (
        "import atexit, sys; slow = {'dlt', 'duckdb', 'fsspec', 'pandas', 'pyarrow', 'tokenmart.formats'};"
        "atexit.register(lambda: print(*sorted(slow & sys.modules.keys())));"
        "from tokenmart.cli import main; main(sys.argv[1:])"
    )

    def output(*options: str) -> str:
        command = [sys.executable, "-c", script, "load", str(path), *options]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout

    assert output().startswith("Nothing new") and output().endswith("\nduckdb\n")
    with path.open("ab") as file:
        file.write(as_lines(tokenledger("e2")))
    preview = output("--dry-run")
    assert "would land event_id=e2" in preview and "dlt" not in preview.splitlines()[-1].split()
    assert output().startswith("Landed 1 of 1 new line ")


def test_a_file_with_two_names_has_one_lock(tmp_path: Path) -> None:
    (tmp_path / "link.duckdb").symlink_to(tmp_path / "real.duckdb")
    target = Target("mine", "duckdb", {"path": str(tmp_path / "link.duckdb")}, tmp_path, tmp_path)
    with lock(target, "load", print):
        assert (tmp_path / "real.duckdb.lock").exists() and not (tmp_path / "link.duckdb.lock").exists()
