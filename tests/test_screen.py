"""Output fits the terminal, breaks between words, and has no control characters from data."""

import ast
import datetime as dt
import io
import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from conftest import PROJECT, Mart, tokenledger
from tokenmart.cli import main
from tokenmart.profile import Target
from tokenmart.report import Status, Summary
from tokenmart.results import FileResult, LoadResult
from tokenmart.screen import Screen, visible
from tokenmart.summary_view import BARS, show_summary, sparkline
from tokenmart.views import show_load, show_status

HOSTILE = "a\x1b[2Jb\x9b1mc\rd\ne\u202ef\u200bg\x00h\x7f"
SHOWN = r"a\x1b[2Jb\x9b1mc\x0dd\x0ae\u202ef\u200bg\x00h\x7f"
TARGET = Target("mine", "duckdb", {"schema": "marts"}, Path(), Path())


def printed(width: int, *lines: str) -> list[str]:
    """What a screen of this width prints."""
    screen = Screen(file=io.StringIO(), width=width)
    for line in lines:
        screen.print(line)
    return screen.file.getvalue().splitlines()  # type: ignore[attr-defined]


# ---------------------------------------------------------------- control characters


def test_control_characters_are_visible() -> None:
    assert visible(HOSTILE) == SHOWN
    assert visible("caf\udce9 \ud800 é 漢 🙂") == r"caf\xe9 \ud800 é 漢 🙂"
    assert printed(200, HOSTILE) == [SHOWN]


def test_only_the_screen_module_prints() -> None:
    paths = list((PROJECT / "loader").rglob("*.py"))
    assert paths
    for path in paths:
        if path.name == "screen.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            assert name not in ("print", "Console", "Text", "click.echo", "click.secho", "sys.stdout.write"), path
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("rich"):
                assert {alias.name for alias in node.names} <= {
                    # a Screen prints these without control characters
                    *("Group", "Panel", "Table", "RenderableType"),
                    *("escape", "Progress", "BarColumn", "DownloadColumn", "TextColumn", "TimeRemainingColumn"),
                    "decimal",
                }, path


def test_no_command_prints_a_control_character_from_data(mart: Mart) -> None:
    name = "log\x1b]0;x\x07\n\u202e.jsonl"
    lines: list[Any] = [tokenledger("e\x1b1", model="m" + HOSTILE, error_type="t\x1b[31m"), "broken \x1b[2J \x9b\r"]
    path = mart.write(f"logs/{name}", *lines)
    foreign = mart.write("foreign.jsonl", {"key\x1b[2J": 1})
    for arguments, code in (
        (["load", path, "--dry-run"], 0),
        (["run", path.parent], 3),
        (["status"], 0),
        (["rejects"], 0),
        (["formats", path, foreign], 1),
        (["load", foreign], 1),
        (["load", path, "--format", "\x1b[2J"], 2),
        (["\x1b[2J"], 2),
        (["load", "missing\x1b[2J"], 2),
        (["rejects", "--json"], 0),
    ):
        output = mart.run(*arguments, code=code).output
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u200b]", output), arguments
        assert r"\x1b" in output or "u001b" in output, arguments
    export = mart.folder / "export"
    mart.run("rejects", "--export", export)
    assert export.read_bytes() == b"broken \x1b[2J \xc2\x9b\r\n"


def test_contents_of_files_found_in_folders_are_not_printed(mart: Mart) -> None:
    for number, line in enumerate(("PASSWORD=hunter2", '"hunter2"')):
        mart.write(f"logs/{number}.log", line)
        assert "hunter2" not in mart.run("load", mart.folder / "logs", code=1).output
        assert "hunter2" in mart.run("load", mart.folder / f"logs/{number}.log", code=1).output
    (mart.folder / "linked").mkdir()
    (mart.folder / "linked/a.log").symlink_to(mart.folder / "logs/0.log")
    for arguments in (["formats"], ["load"], ["load", "--dry-run"]):
        output = mart.run(*arguments, mart.folder / "linked", code=1).output
        assert "a.log: a symbolic link that leads out" in output and "hunter2" not in output


# ---------------------------------------------------------------- any width


def summary(days: int) -> Summary:
    """A summary of this number of days, every third of them without requests."""
    dates = [dt.date(2026, 1, 1) + dt.timedelta(number) for number in range(days)]
    costs = {"requests": 1_234_567, "unpriced_requests": 3, "input_tokens": 10**9, "output_tokens": 10**7}
    costs["cost_usd"] = Decimal("98765.432100000000")  # type: ignore[assignment]
    window = {"error_rate": 0.01, "duration_ms_p95": 12345.0, "active_users": 1234, "projection_days": 9}
    return Summary(
        totals={**costs, "days": days, "first_date": dates[0], "last_date": dates[-1], "errors": 3, "timeouts": 2},
        models=[{"provider": "anthropic", "model": "claude-sonnet-4-5-20250929-of-a-long-name", **costs}],
        days=[
            {"usage_date": date, "requests": 7 + number, "cost_usd": Decimal(number), "duration_ms_p95": 5.0}
            for number, date in enumerate(dates)
            if number % 3 != 1
        ],
        windows=[{**costs, **window, "window_days": 90, "projected_month_cost_usd": Decimal("98765.4")}],
        months=[{**costs, "first_date": dates[0], "last_date": dates[-1]}],
    )


@pytest.mark.parametrize("width", [40, 60, 80, 120, 200])
@pytest.mark.parametrize("days", [1, 7, 45, 90, 400])
def test_a_summary_fits_the_terminal(width: int, days: int) -> None:
    screen = Screen(file=io.StringIO(), width=width)
    show_summary(screen, summary(days), "/a/place", TARGET, are_samples=False)
    lines = screen.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert max(map(len, lines)) <= width
    assert not any("…" in line for line in lines), "no text is cut"
    bars = [line for line in lines if re.match(r"│ (cost|requests|p95) ", line)]
    assert [line.split()[1] for line in bars] == ["cost", "requests", "p95"]
    # all rows have bars for the same days
    bar_positions = {tuple(i for i, letter in enumerate(line) if letter in BARS) for line in bars}
    assert len(bar_positions) == 1 and len(next(iter(bar_positions))) >= min(5, days - days // 3)
    assert sum(letter in BARS for line in lines for letter in line) == 3 * len(next(iter(bar_positions))) + sum(
        line.count("█") for line in lines if re.match(r"\d{4}-\d\d-\d\d ", line)
    ), "no bar is wrapped to another line"
    for figure in ("$98,765.43", "1,234,567"):
        assert figure in "\n".join(lines), "numbers are not broken"


def test_a_summary_of_one_request_uses_the_singular_and_needs_no_duration() -> None:
    known = summary(1)
    one = {"requests": 1, "errors": 1, "timeouts": 1, "unpriced_requests": 1}
    days = [{**known.days[0], "duration_ms_p95": None}]
    screen = Screen(file=io.StringIO(), width=80)
    found = replace(known, totals={**known.totals, **one}, days=days)
    show_summary(screen, found, "/a/place", TARGET, are_samples=True)
    output = screen.file.getvalue()  # type: ignore[attr-defined]
    for text in ("1 request on 1 day,", "1 error (", "1 timeout ", "1 request has no price"):
        assert text in output
    assert "up to -" not in output and "load your own logs: tokenmart run PATH" in output and "status" not in output


def test_less_important_columns_of_loads_are_left_out_first() -> None:
    load = dict.fromkeys(("files", "read", "landed", "skipped", "rejected"), 7)
    rows = [{"load_id": "1763712000.123456", "loaded_at": dt.datetime(2026, 11, 1), **load}]
    nothing: dict[str, Any] = {"rejects": [], "omitted": []}
    counts = dict.fromkeys(("events", "pending", "orphaned", "samples", "has_undone"), 0)
    status = Status(newest_event_at=None, last_loaded_at=None, loads=rows, last_build=None, **nothing, **counts)
    for width, columns in (
        (80, "load at (UTC) files read landed skipped rejected"),
        (70, "load at (UTC) landed skipped rejected"),
        (40, "load landed rejected"),
    ):
        screen = Screen(file=io.StringIO(), width=width)
        show_status(screen, status, "/a/place", TARGET)
        header = next(line for line in screen.file.getvalue().splitlines() if line.startswith("load "))  # type: ignore[attr-defined]
        assert header.split() == columns.split()


def test_a_sparkline_shows_unknown_values_as_blanks() -> None:
    assert sparkline([1, None, 8, 0], 60) == "▂ █▁"
    assert sparkline([1, 3, None, None, 8, 8], 3) == "▃ █"


def test_long_lines_break_between_words() -> None:
    words = "not loaded because the target cannot be reached from this machine".split()  # noqa: SIM905
    for width in (20, 40):
        assert " ".join(line.strip() for line in printed(width, " ".join(words))).split() == words


@pytest.mark.parametrize("width", ["40", "60", "80", "120"])
def test_help_shows_complete_summaries(width: str) -> None:
    output = CliRunner(env={"COLUMNS": width}).invoke(main, ["--help"], terminal_width=int(width)).output
    listed = " ".join(output.partition("Commands:")[2].split())
    assert "..." not in listed
    for name, command in main.commands.items():
        assert f"{name} {(command.help or '').partition('.')[0]}" in " ".join(listed.split())


def test_a_load_says_what_happened_to_each_file_with_a_problem() -> None:
    screen = Screen(file=io.StringIO(), width=200)
    files = [
        FileResult("a", problem="a: unknown format"),
        FileResult("b", format="own", read=3, skipped=3, problem="b: the format own skipped every line"),
        FileResult("c", format="ctm", read=3, landed=2, skipped=1, problem="c after line 3: it breaks off"),
    ]
    show_load(screen, LoadResult(files=files), 0.1, TARGET)
    assert screen.file.getvalue().splitlines()[1:] == [  # type: ignore[attr-defined]
        "  left out a: unknown format",
        "  nothing landed b: the format own skipped every line",
        "  stopped early c after line 3: it breaks off",
    ]
