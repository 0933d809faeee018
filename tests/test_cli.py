"""The command's output for people and scripts, its error messages and exit codes."""

import datetime as dt
import gzip
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from typing import Any

import click
import duckdb
import pytest
from click.testing import CliRunner
from dbt.cli.main import dbtRunner

import tokenmart.build
import tokenmart.dbt_runner
import tokenmart.load
from conftest import PROJECT, Mart, share_parsed, tokenledger
from story import durations, of_tokenledger, requests_of, total
from tokenmart import __version__
from tokenmart.cli import main
from tokenmart.errors import TokenmartError, UsageError
from tokenmart.locks import Check, lock_file, lock_lost
from tokenmart.sample import FORMATS, write_sample

COMMANDS = sorted(main.commands)


def failure(mart: Mart, *arguments: str | Path, code: int = 1) -> str:
    """Runs a command that must fail; returns its message: at most two lines on stderr, without a traceback."""
    result = mart.run(*arguments, code=code)
    assert result.stdout == "" and "Traceback" not in result.stderr and "unexpectedly" not in result.stderr
    assert 1 <= result.stderr.count("\n") <= 2
    return result.stderr


# ---------------------------------------------------------------- help


def test_all_commands_are_registered() -> None:
    assert COMMANDS == [
        "audit",
        "build",
        "costs",
        "discover",
        "doctor",
        "errors",
        "explain",
        "formats",
        "load",
        "query",
        "rejects",
        "run",
        "sample",
        "status",
        "undo",
        "whatif",
    ]
    assert __version__ in CliRunner().invoke(main, ["--version"]).output


@pytest.mark.parametrize("name", ["", *COMMANDS])
@pytest.mark.parametrize("option", ["--help", "-h"])
def test_help_has_an_example_and_fits_100_columns(name: str, option: str, mart: Mart) -> None:
    result = mart.run(*([name] if name else []), option)
    assert "Traceback" not in result.output
    _, _, example = result.output.partition("Example:\n")
    assert example.strip().startswith(f"tokenmart {name}".strip())
    assert result.output.startswith("Usage:")
    for line in result.output.splitlines():
        assert len(line) <= 100


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_has_a_help_text(name: str) -> None:
    options = [parameter for parameter in main.commands[name].params if isinstance(parameter, click.Option)]
    assert options
    for option in options:
        assert option.help and option.help.endswith(".") and len(option.help) > 10, option.name


def test_the_readme_mentions_every_command_and_option() -> None:
    text = (PROJECT / "README.md").read_text()
    missing = [f"tokenmart {name}" for name in COMMANDS if f"tokenmart {name}" not in text]
    for name, command in [("tokenmart", main), *main.commands.items()]:
        for parameter in command.params:
            option = max(parameter.opts, key=len)
            if isinstance(parameter, click.Option) and not re.search(rf"(?<![\w-]){option}(?![\w-])", text):
                missing.append(f"{name} {option}")
    assert not missing


# ---------------------------------------------------------------- the figures of run


def recount(paths: list[Path]) -> list[dict[str, Any]]:
    """The requests of TokenLedger files, with their costs."""
    lines = [json.loads(line) for path in paths for line in path.read_bytes().splitlines()]
    return requests_of(map(of_tokenledger, lines))


def test_run_reports_the_same_figures_as_a_recount(mart: Mart, tmp_path: Path) -> None:
    paths = write_sample(tmp_path / "logs", events=1000, days=12, seed=5, end=dt.date(2026, 1, 31))
    result = mart.run("run", tmp_path / "logs", "--json")
    answer = json.loads(result.stdout)
    assert result.stderr == ""
    requests = recount(paths)
    assert len(requests) == 1000
    read = sum(path.read_bytes().count(b"\n") for path in paths)
    assert sum(file["read"] for file in answer["load"]["files"]) == read > 1000, "some requests have several snapshots"
    assert answer["build"]["failures"] == [] and answer["build"]["models"] and answer["build"]["tests"]
    assert answer["location"] == str(mart.path)

    totals = answer["summary"]["totals"]
    assert totals == {
        "requests": 1000,
        "unpriced_requests": sum(request["cost"] is None for request in requests),
        "input_tokens": total(requests, "input"),
        "output_tokens": total(requests, "output"),
        "cost_usd": f"{total(requests, 'cost'):.12f}",
        "days": 12,
        "first_date": "2026-01-20",
        "last_date": "2026-01-31",
        "errors": sum(request["status"] == "error" for request in requests),
        "timeouts": sum(request["status"] == "timeout" for request in requests),
    }
    assert totals["unpriced_requests"] > 0 and totals["errors"] > 0 and totals["timeouts"] > 0

    models = {(row["provider"], row["model"]): row for row in answer["summary"]["models"]}
    assert set(models) == {(request["provider"], request["model"]) for request in requests}
    for (provider, model), row in models.items():
        group = [request for request in requests if (request["provider"], request["model"]) == (provider, model)]
        cost = total(group, "cost")
        assert row["requests"] == len(group)
        assert row["cost_usd"] == (None if cost is None else f"{cost:.12f}")
    costs = [Decimal(row["cost_usd"] or 0) for row in answer["summary"]["models"]]
    assert costs == sorted(costs, reverse=True)

    assert answer["summary"]["days"]
    for row in answer["summary"]["days"]:
        group = [request for request in requests if str(request["at"].date()) == row["usage_date"]]
        assert (row["requests"], row["cost_usd"]) == (len(group), f"{total(group, 'cost'):.12f}")
        assert row["duration_ms_p95"] == pytest.approx(durations(group)[4], rel=1e-9)

    windows = {row["window_days"]: row for row in answer["summary"]["windows"]}
    assert list(windows) == [1, 7, 30, 90]
    for days, row in windows.items():
        first = dt.date(2026, 1, 31) - dt.timedelta(days=days - 1)
        group = [request for request in requests if request["at"].date() >= first]
        cost = total(group, "cost")
        existing = min(days, 12)
        month = (cost * 30 / existing).quantize(Decimal("1e-12"), ROUND_HALF_UP)
        errors = sum(request["status"] == "error" for request in group)
        assert row == {
            "window_days": days,
            "last_date": "2026-01-31",
            "requests": len(group),
            "cost_usd": f"{cost:.12f}",
            "error_rate": pytest.approx(errors / len(group), rel=1e-9),
            "duration_ms_p95": pytest.approx(durations(group)[4], rel=1e-9),
            "active_users": len({request["user"] for request in group} - {None}),
            "projection_days": existing,
            "projected_month_cost_usd": f"{month:.12f}" if existing >= 3 else None,
        }
    assert answer["summary"]["months"] == [
        {
            "first_date": "2026-01-20",
            "last_date": "2026-01-31",
            "requests": 1000,
            "cost_usd": f"{total(requests, 'cost'):.12f}",
        }
    ]

    # the output for people has the same figures, also with nothing new
    output = mart.run("run", tmp_path / "logs").output
    assert len(paths) == 1 and "Nothing new in 1 file." in output
    assert f"${Decimal(totals['cost_usd']):,.2f} for 1,000 requests on 12 days, 2026-01-20 to 2026-01-31" in output
    assert f"{totals['unpriced_requests']} requests have no price" in output


@pytest.mark.slow
def test_run_continues_after_rejected_lines_and_exits_with_3(mart: Mart) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"), "broken", tokenledger("e2"))
    answer = mart.json("run", path, code=3)
    assert answer["summary"]["totals"]["requests"] == 2
    # (1000 x 0.15 + 100 x 0.60) / 1,000,000, twice
    assert answer["summary"]["totals"]["cost_usd"] == "0.000420000000"
    assert mart.json("run", path, "--again", "--max-rejects", "1")["summary"]["totals"]["requests"] == 2


def test_run_stops_if_nothing_can_be_read(mart: Mart, project: Path) -> None:
    path = mart.write("report.csv", "day,cost")
    result = mart.run("run", path, code=1)
    assert str(path) in result.output and "not JSON Lines" in result.output


@pytest.mark.slow
def test_an_empty_log_has_nothing_new_and_creates_no_marts(mart: Mart) -> None:
    path = mart.write("empty.jsonl")
    assert "Nothing new in 1 file." in mart.run("load", path).output
    assert "tokenmart run PATH" in failure(mart, "status")
    assert "tokenmart run PATH" in failure(mart, "rejects")
    assert "Nothing has been loaded" in mart.run("run", path, code=1).stderr
    mart.run("load", mart.write("b.jsonl", "broken", "{}", tokenledger("late", "yesterday")), code=3)
    assert "The marts are empty" in mart.run("run", path).output


# ---------------------------------------------------------------- json


@pytest.mark.slow
def test_every_command_can_print_json(mart: Mart) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"), "broken", tokenledger("e2", "2026-10-02T00:00:00Z"), "12")
    preview = mart.json("load", path, "--dry-run")
    assert [(file["name"], file["format"], len(file["events"])) for file in preview] == [(str(path), "tokenledger", 2)]
    assert [row["reason"] for row in preview[0]["rejected"]] == ["not JSON", "not a JSON object"]

    loaded = mart.json("load", path, code=3)
    assert {name: loaded["files"][0][name] for name in ("name", "format", "read", "landed", "skipped", "rejected")} == {
        "name": str(path),
        "format": "tokenledger",
        "read": 4,
        "landed": 2,
        "skipped": 0,
        "rejected": 2,
    }
    assert loaded["reasons"] == {"not JSON": 1, "not a JSON object": 1}
    assert loaded["examples"] == {"not JSON": f"{path}:2", "not a JSON object": f"{path}:4"}

    status = mart.json("status")
    assert (status["events"], status["pending"], status["orphaned"]) == (2, 1, 0)
    assert status["newest_event_at"].startswith("2026-10-02T00:00:00")
    assert [load["load_id"] for load in status["loads"]] == [loaded["load_id"]]
    assert {row["reason"]: row["lines"] for row in status["rejects"]} == {"not JSON": 1, "not a JSON object": 1}
    assert status["location"] == str(mart.path)

    built = mart.json("build")
    assert built["failures"] == [] and built["seconds"] > 0
    assert mart.json("status")["pending"] == 0
    assert mart.json("build", "--full-refresh")["failures"] == []

    rejected = mart.json("rejects")
    assert [(row["line"], row["reason"], row["bytes"]) for row in rejected] == [
        (2, "not JSON", "broken"),
        (4, "not a JSON object", "12"),
    ]
    assert [row["line"] for row in mart.json("rejects", "--reason", "not JSON")] == [2]
    assert mart.json("rejects", "--reason", "it's unknown") == []
    assert len(mart.json("rejects", "--limit", "1")) == 1
    assert len(mart.json("status", "--loads", "1")["loads"]) == 1
    mart.run("status", "--loads", "0", code=2)

    scripts = (PROJECT / "loader/tokenmart/formats").glob("*.sql")
    assert set(mart.json("formats")) == {script.stem for script in scripts}
    assert all(len(description) > 20 for description in mart.json("formats").values())
    assert mart.json("formats", path) == [
        {"file": str(path), "format": "tokenledger", "why": "2 of its first 4 lines match"}
    ]
    where = {"target": {"name": "duckdb", "type": "duckdb"}, "raw_schema": "raw_usage", "marts_schema": "marts"}
    assert {name: built[name] for name in [*where, "location"]} == {**where, "location": str(mart.path)}
    assert {name: loaded.get(name) for name in where} == {**where, "marts_schema": None}
    assert loaded["location"] == str(mart.path)
    assert set(mart.json("run", path)) == {
        *("load", "build", "summary", "target", "location", "raw_schema", "marts_schema")
    }


def test_an_export_can_print_json(mart: Mart, project: Path) -> None:
    mart.run("load", mart.write("a.jsonl", "broken", tokenledger("e1")), code=3)
    export = mart.folder / "rejects.jsonl"
    assert mart.json("rejects", "--export", export)
    assert export.read_bytes() == b"broken\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["load", "missing.jsonl"], 2, "no such file"),
        (["load"], 2, "PATHS"),
        (["load", "--frobnicate"], 2, "frobnicate"),
        (["status", "--loads", "0"], 2, "--loads"),
        (["build", "--target", "production"], 2, "has no target"),
        (["rejects"], 1, "Nothing has been loaded"),
        (["formats", "missing.jsonl"], 2, "no such file"),
        (["undo"], 2, "--samples"),
        (["undo", "--samples"], 2, "--json"),
    ],
    ids=str,
)
def test_a_failure_is_printed_as_json(arguments: list[str], code: int, message: str, mart: Mart, project: Path) -> None:
    result = mart.run(*arguments, "--json", code=code)
    answer = json.loads(result.stdout)
    assert set(answer) == {"error", "hint", "exit_code"} and answer["exit_code"] == code and result.stderr == ""
    assert message in f"{answer['error']} {answer['hint']}"


def test_an_unexpected_error_is_printed_as_json(mart: Mart, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"))
    for error in (RuntimeError("boom"), OSError(28, "No space left on device"), KeyboardInterrupt()):

        def fail(*_: Any, error: BaseException = error) -> None:
            raise error

        monkeypatch.setattr(tokenmart.load, "load", fail)
        code = 130 if isinstance(error, KeyboardInterrupt) else 1
        assert mart.json("run", path, code=code)["exit_code"] == code


@pytest.mark.parametrize("command", ["load", "run"])
def test_the_json_has_an_error_if_no_file_can_be_read(command: str, mart: Mart, project: Path) -> None:
    answer = mart.json(command, mart.write("foreign.jsonl", {"a": 1}), code=1)
    (file,) = answer["load"]["files"] if command == "run" else answer["files"]
    assert "unknown format" in answer["error"] and file["problem"] == answer["error"] and answer["exit_code"] == 1


def test_the_json_of_undo_has_what_was_deleted_even_if_the_build_does_not_start(
    mart: Mart, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    load_id = mart.json("load", mart.write("a.jsonl", tokenledger("e1")))["load_id"]

    def fail(*_: Any, **__: Any) -> None:
        raise TokenmartError("dbt could not start", "Do this.")

    monkeypatch.setattr(tokenmart.build, "build", fail)
    answer = mart.json("undo", load_id, "--yes", code=1)
    assert (answer["undone"]["events"], answer["error"], answer["hint"]) == (1, "dbt could not start", "Do this.")


@pytest.mark.parametrize(
    ("command", "message"), [("load", "The load has no effect"), ("build", "Some marts may be older")]
)
def test_an_interrupted_command_says_what_it_leaves_unfinished(
    command: str, message: str, mart: Mart, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"))
    mart.run("load", path)

    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tokenmart.load, "load", interrupt)
    monkeypatch.setattr(tokenmart.build, "build", interrupt)
    assert message in mart.run(command, *([path] if command == "load" else []), code=130).output


# ---------------------------------------------------------------- failed builds


@pytest.fixture
def copied(mart: Mart, artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the dbt project that a test can break."""
    folder = mart.folder / "copied"
    ignored = shutil.ignore_patterns(".*", "warehouses", "bench", "__pycache__", "target", "*.duckdb", "*.py", "docs")
    shutil.copytree(PROJECT, folder, ignore=ignored)
    share_parsed(artifacts, folder / "target")
    monkeypatch.setenv("DBT_TARGET_PATH", str(folder / "target"))
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.slow
def test_the_json_of_undo_has_the_error_if_the_build_fails(mart: Mart, copied: Path) -> None:
    load_id = mart.json("load", mart.write("a.jsonl", tokenledger("e1"), tokenledger("e2")))["load_id"]
    mart.json("load", mart.write("b.jsonl", tokenledger("e3")))
    (copied / "tests/assert_nothing.sql").write_text("select event_id from {{ ref('llm_requests') }}")
    answer = mart.json("undo", load_id, "--yes", code=1)
    assert answer["undone"]["events"] == 2 and answer["exit_code"] == 1
    assert answer["error"].startswith("The build failed") and "1 failed" in answer["error"]


@pytest.mark.slow
def test_a_failed_data_test_is_reported_with_a_row_a_hint_and_the_summary(mart: Mart, copied: Path) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"), tokenledger("e2", user_id="b\x1bad"))
    (copied / "tests/assert_nobody_is_bad.sql").write_text(
        "-- depends_on: {{ ref('usage_summary') }}, {{ ref('daily_latency') }}, {{ ref('daily_errors_by_model') }}\n"
        "select event_id, user_id from {{ ref('llm_requests') }} where user_id like 'b%'"
    )
    (copied / "tests/assert_few_requests.sql").write_text(
        "{{ config(severity='warn') }} select event_id, model from {{ ref('llm_requests') }} where event_id = 'e1'"
    )
    answer = mart.json("run", path, code=1)
    load_id = answer["load"]["load_id"]
    assert len(answer["build"]["failures"]) == 1
    assert "assert_nobody_is_bad" in answer["build"]["failures"][0]
    assert "event_id=e2, user_id=b\x1bad" in answer["build"]["failures"][0]
    assert f"tokenmart undo {load_id}" in answer["build"]["hint"] == answer["hint"]
    assert "1 failed" in answer["error"] and answer["exit_code"] == 1
    assert answer["summary"]["totals"]["requests"] == 2
    assert answer["build"]["models"] >= 18 and answer["build"]["models_skipped"] == 0
    (warning,) = answer["build"]["warnings"]
    assert "assert_few_requests" in warning and "1 result" in warning and "event_id=e1" in warning

    output = mart.run("run", path, code=1).output
    assert "1 failed, 1 warned" in output and "$0.00" in output
    assert output.index("assert_nobody_is_bad") < output.index("for 2 requests")

    status = mart.json("status")
    build = status["last_build"]
    assert (build["is_successful"], build["failures"], build["warnings"]) == (False, 1, 1)
    assert build["messages"] == {"failures": answer["build"]["failures"], "warnings": [warning]}
    assert build["version"] == __version__ and build["target"] == "duckdb"
    assert build["started_at"] < build["finished_at"]
    output = mart.run("status").output
    assert "Last build" in output and "failed (1 failure)" in output and "event_id=e1" in output

    # undoing the load solves it
    mart.run("undo", load_id, "--yes")
    status = mart.json("status")
    assert status["last_build"]["is_successful"] and status["events"] == 0
    assert mart.json("run", path, "--again", code=1)["load"]["files"][0]["landed"] == 2


@pytest.mark.slow
def test_a_build_with_a_failed_model_counts_what_was_built_and_skipped(mart: Mart, copied: Path) -> None:
    mart.run("run", mart.write("a.jsonl", tokenledger("e1")))
    (copied / "models/marts/broken.sql").write_text("select no_such_column as a from {{ ref('llm_requests') }}")
    (copied / "models/marts/after.sql").write_text("select a from {{ ref('broken') }}")
    built = mart.json("build", code=1)
    assert (built["models_failed"], built["models_skipped"], built["tests_failed"]) == (1, 1, 0)
    assert built["models"] and built["tests"] and "1 failed, 1 skipped" in built["error"]
    (copied / "models/marts/broken.sql").write_text("select {{ ")
    assert "dbt could not start" in mart.json("build", code=1)["error"]
    last = mart.json("status")["last_build"]
    assert not last["is_successful"] and "dbt could not start" in last["messages"]["failures"][0]


@pytest.mark.slow
def test_a_build_that_cannot_be_recorded_still_succeeds(mart: Mart, monkeypatch: pytest.MonkeyPatch) -> None:
    mart.run("load", mart.write("a.jsonl", tokenledger("e1")))

    def refused(_: Any) -> None:
        raise TokenmartError("This login may only read.")

    monkeypatch.setattr(tokenmart.build, "connect", refused)
    output = mart.run("build").output
    assert "could not be recorded for tokenmart status: This login may only read." in output and "Built " in output


@contextmanager
def a_lost_lock(*_: Any) -> Iterator[Check]:
    """A lock that another process takes over before anything is done."""

    def check() -> None:
        raise lock_lost("this test")

    yield check


@pytest.mark.slow
def test_build_and_undo_stop_when_they_lose_their_lock(mart: Mart) -> None:
    load_id = mart.json("load", mart.write("a.jsonl", tokenledger("e1")))["load_id"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tokenmart.destinations.lock", a_lost_lock)
        for command in (["build"], ["undo", load_id, "--yes"]):
            output = mart.run(*command, code=1).output
            assert "lock for this test was lost" in output and "next build completes" in output
    tables = "select table_name from information_schema.tables where table_schema = 'marts'"
    assert mart.query(tables) == []
    assert mart.query("select is_successful, messages like '%was lost%' from raw_usage.builds") == [(False, True)]
    assert mart.query("select count(*) from raw_usage.events") == [(1,)]


@pytest.mark.slow
def test_status_reports_loads_that_are_not_in_the_marts(mart: Mart) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"))
    mart.run("run", path)
    assert "Every load is in the marts." in mart.run("status").output
    mart.run("load", path, "--again")
    assert "Loads that are not in the marts yet: 1." in mart.run("status").output


# ---------------------------------------------------------------- samples, and undo


@pytest.mark.slow
def test_samples_are_reported_and_one_command_deletes_them(mart: Mart, tmp_path: Path) -> None:
    write_sample(tmp_path / "logs", events=20, days=2, seed=1, formats=["ctm"])
    own = mart.write("logs/own.jsonl", tokenledger("e1", cost_usd=1.5), "broken")
    assert "sample events" not in mart.run("load", tmp_path / "logs/ctm").output
    assert "sample events" not in mart.run("run", tmp_path / "logs/ctm", "--again").output
    landed = mart.json("status")["samples"]
    assert landed == mart.json("status")["events"] > 20
    for command, code in (("load", 3), ("run", 0)):
        assert f"{landed:,} sample events" in mart.run(command, own, code=code).output
    assert "tokenmart undo --samples" in mart.run("status").output
    # one load of samples and other events
    mart.run("load", tmp_path / "logs", "--again", code=3)

    before = mart.query("select count(*) from raw_usage.events")
    output = mart.run("undo", "--samples", stdin=b"n\n", code=1).output
    assert "3 loads" in output and output.endswith("Nothing was deleted.\n") and "Failed" not in output
    assert mart.query("select count(*) from raw_usage.events") == before
    output = mart.run("undo", "--samples", stdin=b"y\n").output
    assert "Deleted" in output and "--again" in output and "Built" in output
    assert mart.query("select distinct source_file from raw_usage.events") == [(str(own),)]
    assert mart.json("status")["samples"] == 0
    assert mart.query("select requests, cost_usd from marts.daily_costs") == [(1, Decimal("1.5"))]
    assert mart.query("select count(*) from raw_usage.loaded_files") == [(2,)]
    assert "has no samples" in failure(mart, "undo", "--samples", "--yes", code=2)


@pytest.mark.slow
def test_a_build_after_an_undo_rebuilds_everything(mart: Mart) -> None:
    first = mart.json("load", mart.write("a.jsonl", tokenledger("e1", cost_usd=1)))["load_id"]
    mart.run("run", mart.write("b.jsonl", tokenledger("e2", cost_usd=2)))
    assert "undone" not in mart.run("build").output
    mart.run("undo", first, "--yes", "--no-build")
    assert mart.query("select cost_usd from marts.daily_costs") == [(3,)]
    # even if a full refresh stopped early
    for arguments in (["--select", "build_settings", "--full-refresh"], ["--select", "loads"]):
        outcome = dbtRunner().invoke(["run", "--quiet", "--target", "duckdb", *arguments])
        tokenmart.dbt_runner.close_dbt_connections()
    assert [result.message for result in outcome.result.results if "tokenmart undo has deleted" in result.message]
    assert "loads that were undone" in mart.run("status").output
    assert "loads that were undone" in mart.run("doctor", code=1).output
    output = mart.run("build").output
    assert "Loads were undone since the marts were built" in output
    assert mart.query("select cost_usd from marts.daily_costs") == [(2,)]
    assert "undone" not in mart.run("build").output and "undone" not in mart.run("status").output
    mart.run("doctor")


@pytest.mark.slow
def test_an_undo_takes_effect_even_if_the_clock_of_another_machine_is_fast(mart: Mart) -> None:
    first = mart.json("load", mart.write("a.jsonl", tokenledger("e1", cost_usd=1)))["load_id"]
    mart.run("run", mart.write("b.jsonl", tokenledger("e2", cost_usd=2)))
    # as if a machine whose clock is one hour fast had built the marts
    for table in ("build_settings", "llm_requests", "request_days", "daily_costs"):
        mart.query(f"update marts.{table} set batch_id = batch_id + 3600000000")
    mart.query("update marts.loads set batch_id = batch_id + 3600000000")
    mart.run("undo", first, "--yes", "--no-build")
    assert "loads that were undone" in mart.run("status").output
    # one full refresh is enough
    for _ in range(2):
        assert mart.json("build")["failures"] == []
        assert mart.query("select cost_usd from marts.daily_costs") == [(2,)]
        assert not mart.json("status")["has_undone"]


@pytest.mark.slow
def test_undoing_a_load_keeps_other_loads(mart: Mart) -> None:
    first = mart.json("load", mart.write("a.jsonl", tokenledger("e1"), "broken"), code=3)["load_id"]
    second = mart.json("load", mart.write("b.jsonl", tokenledger("e2"), "broken"), code=3)["load_id"]
    assert "There is no load 17" in failure(mart, "undo", first, "17", "--yes", code=2)
    answer = mart.json("undo", first, "--yes", "--no-build")
    assert answer["undone"] == {"load_ids": [first], "files": 1, "events": 1, "rejected": 1} and not answer["build"]
    assert mart.json("status")["pending"] == 1
    for table in ("events", "rejected_lines", "loaded_files"):
        assert mart.query(f"select distinct _dlt_load_id from raw_usage.{table}") == [(second,)]
    assert f"There is no load {first}" in failure(mart, "undo", first, "--yes", code=2)
    # a second undo completes one that was interrupted
    mart.query("delete from raw_usage.loaded_files")
    assert mart.json("undo", second, "--yes")["build"]["failures"] == []
    assert mart.query("select count(*) from raw_usage.rejected_lines") == [(0,)]


# ---------------------------------------------------------------- output for people


def test_status_and_rejects_print_the_state_of_the_target(mart: Mart, project: Path) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"), "broken", tokenledger("e2"))
    mart.run("load", path, code=3)
    output = mart.run("status").output
    for text in (
        str(mart.path),
        "2 rows in events",
        "newest request 2026-10-01 12:00 UTC",
        "not JSON",
        "tokenmart build",
    ):
        assert text in output
    output = mart.run("rejects").output
    for text in (f"{path}:2", "not JSON", "broken", "1 rejected line"):
        assert text in output
    assert "No lines were rejected." in mart.run("rejects", "--reason", "no timestamp").output


def test_formats_prints_the_format_of_a_file_and_why(mart: Mart, tmp_path: Path) -> None:
    output = mart.run("formats").output
    assert all(name in output for name in FORMATS)
    write_sample(tmp_path / "logs", events=9, days=1, seed=1, formats=FORMATS)
    for name in FORMATS:
        answers = mart.json("formats", tmp_path / "logs" / name)
        assert {answer["format"] for answer in answers} == {name}
    other = mart.write("other.jsonl", {"level": "info", "message": "hello"})
    output = mart.run("formats", other, tmp_path / "logs" / "ctm", code=1).output
    assert "other.jsonl: unknown" in output and "level, message" in output and "ctm" in output
    packed = mart.folder / "broken.jsonl.gz"
    packed.write_bytes(gzip.compress(other.read_bytes())[:20])
    answers = mart.json("formats", mart.write("empty.jsonl"), packed, code=1)
    assert [answer["format"] for answer in answers] == [None, None]
    assert "empty" in answers[0]["why"] and "ompressed" in answers[1]["why"]
    assert not mart.path.exists(), "no target is created"


def test_samples_with_the_same_seed_are_equal_and_can_be_loaded(mart: Mart, tmp_path: Path) -> None:
    options = ["--events", "50", "--days", "3", "--format", "tokenmeter", "--format", "ctm"]
    written = []
    for folder, seed in (("first", 7), ("again", 7), ("other", 8)):
        output = mart.run("sample", tmp_path / folder, *options, "--seed", str(seed)).output
        assert f"tokenmart run {tmp_path / folder}" in output and output.startswith("Wrote 2 files")
        paths = sorted(path for path in (tmp_path / folder).rglob("*") if path.is_file())
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1] != written[2]
    assert sum(file["landed"] for file in mart.json("load", tmp_path / "first")["files"]) == 100


def test_a_dry_run_lands_nothing_and_creates_no_file(mart: Mart, project: Path) -> None:
    path = mart.write("a.jsonl", tokenledger("e1", user_id="ada"), "broken")
    before = sorted(mart.folder.rglob("*"))
    output = mart.run("load", path, "--dry-run").output
    assert f"{path}: tokenledger" in output and "would land" in output and "user_id=ada" in output
    assert "would be rejected not JSON: broken" in output
    assert sorted(mart.folder.rglob("*")) == before

    mart.run("load", path, code=3)
    landed = "select (select count(*) from raw_usage.events), (select count(*) from raw_usage._dlt_loads)"
    counts, position = mart.query(landed), path.stat().st_size
    assert "nothing new" in mart.run("load", path, "--dry-run").output
    with path.open("ab") as stream:
        stream.write(json.dumps(tokenledger("e2")).encode() + b"\n")
    preview = mart.json("load", path, "--dry-run")[0]
    assert [event["event_id"] for event in preview["events"]] == ["e2"] and preview["first_offset"] == position
    assert mart.query(landed) == counts
    assert mart.json("load", path)["files"][0]["landed"] == 1
    other = mart.write("other.csv", "a,b")
    assert "would be left out" in mart.run("load", other, "--dry-run", code=1).output


@pytest.mark.slow
def test_names_with_brackets_are_printed_unchanged(mart: Mart) -> None:
    name, model = "logs [eu]/[b] a.jsonl", "ft:[bold]x[/nope]"
    path = mart.write(name, tokenledger("e1", model=model, error_type="[red]"), "broken [/bold]")
    assert f"{path}:2" in mart.run("load", path, code=3).output
    assert f"openai/{model}" in mart.run("run", path).output
    assert "[eu]/[b] a.jsonl" in "".join(mart.run("status").output.split("\n"))
    assert "broken [/bold]" in mart.run("rejects").output
    assert str(path) in mart.run("formats", path).output
    assert str(path) in mart.run("load", path, "--dry-run").output
    export = mart.folder / "[eu].jsonl"
    assert str(export) in mart.run("rejects", "--export", export).output
    assert "[b] missing" in failure(mart, "load", mart.folder / "[b] missing", code=2)


# ---------------------------------------------------------------- failures


@pytest.mark.parametrize(
    "arguments",
    [
        ["load"],
        ["run"],
        ["frobnicate"],
        ["load", "FILE", "--frobnicate"],
        ["load", "FILE", "--max-rejects", "many"],
        ["load", "FILE", "--format", "csv"],
        ["load", "FILE", "--format", "missing.sql"],
        ["load", "FILE", "--timezone", "Mars/Olympus"],
        ["load", "FILE", "--target", "production"],
        ["build", "--target", "production"],
        ["status", "--target", "production"],
        ["load", "FILE", "--project-dir", "nowhere"],
        ["load", "missing.jsonl"],
        ["load", "missing/*.jsonl"],
        ["load", "s3:/missing"],
        ["load", "FILE", "missing.jsonl"],
        ["formats", "missing.jsonl"],
        ["sample", "DIR", "--format", "csv"],
        ["sample", "DIR", "--events", "0"],
        ["sample", "FILE"],
        ["status", "--loads", "some"],
    ],
    ids=" ".join,
)
def test_usage_errors_exit_with_2(arguments: list[str], mart: Mart, project: Path) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"))
    named = {"FILE": str(path), "DIR": str(mart.folder / "sample")}
    result = mart.run(*(named.get(argument, argument) for argument in arguments), code=2)
    assert result.stdout == "" and result.stderr and "Traceback" not in result.stderr
    assert not mart.path.exists() and not (mart.folder / "sample").exists()


def test_the_error_for_an_unknown_target_lists_the_known_ones(mart: Mart, project: Path) -> None:
    message = failure(mart, "status", "--target", "production", code=2)
    assert "has no target production" in message and "duckdb" in message


@pytest.mark.parametrize("arguments", [["build"], ["status"], ["rejects"]], ids=" ".join)
def test_a_command_on_a_target_without_loads_says_how_to_start(arguments: list[str], mart: Mart, project: Path) -> None:
    assert "tokenmart run PATH" in failure(mart, *arguments)
    assert not mart.path.exists()


@pytest.mark.parametrize("arguments", [["build"], ["rejects"]], ids=" ".join)
def test_a_command_on_an_unrelated_duckdb_file_says_how_to_start(arguments: list[str], mart: Mart) -> None:
    mart.query("create table other (a int)")
    assert "tokenmart run PATH" in failure(mart, *arguments)


def test_unusable_profiles_are_explained(mart: Mart, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = mart.write("a.jsonl", tokenledger("e1"))
    profiles = mart.folder / "profiles"
    profiles.mkdir()
    monkeypatch.setenv("DBT_PROFILES_DIR", str(profiles))

    def message(text: str | None, code: int) -> str:
        if text is not None:
            (profiles / "profiles.yml").write_text(text)
        return failure(mart, "load", path, code=code)

    def outputs(settings: str) -> str:
        return f"tokenmart: {{target: here, outputs: {{here: {{{settings}}}}}}}"

    assert "DBT_PROFILES_DIR" in message(None, 2)
    assert "profiles.example.yml" in message("other: {}", 2)
    assert "profiles.example.yml" in message("12", 2)
    assert "type oracle" in message(outputs("schema: marts, type: oracle"), 1)
    assert "WAREHOUSE_PATH is not set" in message(
        outputs("schema: marts, type: duckdb, path: \"{{ env_var('WAREHOUSE_PATH') }}\""), 1
    )
    assert "in memory" in message(outputs("schema: marts, type: duckdb, path: ':memory:'"), 1)
    assert "its folder does not exist" in message(outputs("schema: marts, type: duckdb, path: /nowhere/at.duckdb"), 1)
    (mart.folder / "text.duckdb").write_text("this is not a database, just text of some length\n" * 99)
    assert "text.duckdb" in message(outputs(f"schema: marts, type: duckdb, path: {mart.folder}/text.duckdb"), 1)


@pytest.mark.slow
def test_failures_of_dbt_are_reported(mart: Mart, project: Path) -> None:
    mart.run("load", mart.write("a.jsonl", tokenledger("e1")))
    (project / "models").mkdir()
    (project / "models" / "broken.sql").write_text("select {{ nothing_like_that() }} as a")
    output = mart.run("build", code=1).output
    assert "failed broken" in output and "nothing_like_that" in output and "Built with failures" in output
    (project / "models" / "broken.sql").write_text("select {{ ")
    output = mart.run("build", code=1).output
    assert "dbt could not start" in output and "broken.sql" in output and "Traceback" not in output


def test_only_debug_shows_tracebacks(mart: Mart, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def invoke(*arguments: str) -> BaseException | None:
        return CliRunner().invoke(main, arguments).exception

    assert isinstance(invoke("load", "missing.jsonl", "--debug"), UsageError)
    assert isinstance(invoke("status", "--debug"), TokenmartError)
    path = mart.write("a.jsonl", tokenledger("e1"))

    def fail(*_: Any) -> None:
        raise RuntimeError("boom [/bold]")

    monkeypatch.setattr(tokenmart.load, "load", fail)
    result = mart.run("load", path, code=1)
    assert "Failed unexpectedly: RuntimeError: boom [/bold]" in result.stderr and "--debug" in result.stderr
    assert "Traceback" not in result.output
    error = invoke("load", str(path), "--debug")
    assert isinstance(error, RuntimeError) and str(error) == "boom [/bold]"


def test_an_export_that_cannot_be_written_fails_with_a_message(mart: Mart, project: Path) -> None:
    mart.run("load", mart.write("a.jsonl", "broken", tokenledger("e")), code=3)
    path = mart.folder / "missing" / "rejects.jsonl"
    assert mart.run("rejects", "--export", path, code=1).stderr == f"Failed: {path}: No such file or directory\n"
    path = mart.write("fixed.jsonl", tokenledger("fixed"))
    assert mart.run("rejects", "--export", path, code=1).stderr == f"Failed: {path}: File exists\n"
    assert "fixed" in path.read_text()


def test_hints_repeat_the_target_option(mart: Mart, project: Path) -> None:
    path, target = mart.write("a.jsonl", "broken", tokenledger("e")), ("--target", "duckdb")
    assert "tokenmart rejects --target duckdb\n" in mart.run("load", path, *target, code=3).stdout
    assert "tokenmart build --target duckdb\n" in mart.run("status", *target).stdout
    assert "tokenmart build\n" in mart.run("status").stdout


def test_an_unreadable_file_in_a_folder_changes_the_exit_code(mart: Mart, project: Path) -> None:
    mart.write("good.jsonl", tokenledger("e"))
    mart.write("foreign.jsonl", {"a": 1})
    folder = mart.write("truncated.jsonl", tokenledger("f")).parent
    truncated = gzip.compress((folder / "truncated.jsonl").read_bytes())[:12]
    (folder / "truncated.jsonl").unlink()
    mart.run("load", folder, code=0)
    (folder / "truncated.jsonl.gz").write_bytes(truncated)
    assert "truncated.jsonl.gz" in mart.run("load", folder, "--again", code=3).stdout


@pytest.mark.slow
def test_a_build_waits_for_another_job_on_the_target(mart: Mart) -> None:
    mart.run("load", mart.write("a.jsonl", tokenledger("e")))
    command = [Path(sys.executable).with_name("tokenmart"), "build", "--project-dir", str(PROJECT)]
    with lock_file(mart.path.with_name("mart.duckdb.lock"), "load", print):
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stderr
        message = process.stderr.readline()
        assert message.startswith("Waiting for another job on the target duckdb to finish (load by "), message
        assert "process " in message
        assert process.poll() is None
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and output.startswith("Built ")


def test_the_installed_program_runs(mart: Mart, project: Path) -> None:
    program = Path(sys.executable).with_name("tokenmart")
    done = subprocess.run([program, "load", "missing.jsonl"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Failed: missing.jsonl: no such file.") and "Traceback" not in done.stderr
    done = subprocess.run([program, "load", "missing.jsonl", "--debug"], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0 and "Traceback" in done.stderr


def test_a_failure_prints_only_two_lines(mart: Mart, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENMART_DUCKDB_PATH", str(mart.folder / "missing" / "mart.duckdb"))
    command = [sys.executable, "-c", "from tokenmart.cli import main; main()", "load"]
    command.append(str(mart.write("a.jsonl", *(tokenledger(f"e{i}") for i in range(100)))))
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 2 and "its folder does not exist" in done.stderr


def test_a_damaged_duckdb_file_is_named(mart: Mart, project: Path) -> None:
    with duckdb.connect(str(mart.path)) as connection:
        connection.execute("create table other (a int)")
    mart.path.write_bytes(mart.path.read_bytes()[:1000])
    assert str(mart.path) in failure(mart, "status")
