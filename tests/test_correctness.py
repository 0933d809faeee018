"""Cases that other tools get wrong, and a whole sample recounted in Python, both through the command."""

import csv
import datetime as dt
import json
import math
import re
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT, Mart, tokenledger
from tokenmart.sample import FORMATS, write_sample

Row = dict[str, Any]
Tables = dict[str, list[Row]]

TABLES = (
    *("llm_requests", "daily_costs", "hourly_costs", "daily_costs_by_model", "daily_costs_by_user"),
    *("daily_costs_by_attribution", "daily_latency", "daily_latency_by_model", "daily_errors_by_model"),
    *("daily_errors_by_type", "users", "sessions", "usage_summary"),
)
DAYS = [dt.date(2026, 9, 24) + dt.timedelta(days) for days in range(12)]
LATE_DAY, TIED_DAY = dt.date(2026, 9, 26), dt.date(2026, 10, 9)
TOTALS, TOTALS_WITHOUT_SESSION = ([dt.date(2026, 10, day) for day in days] for days in ((6, 7, 8), (16, 17, 18)))
TIED_TEAMS = ("care", "data")
OWN_FORMAT = """
select
    line_id,
    line ->> '$.at' as occurred_at,
    line ->> '$.session' as session_id,
    line -> '$.output' as output_tokens,
    line -> '$.reasoning' as reasoning_tokens,
    true as is_running_total
from lines
"""


@pytest.fixture(scope="module")
def make_mart(tmp_path_factory: pytest.TempPathFactory, profiles: Path) -> Iterator[Callable[[str], Mart]]:
    """Makes a Mart that lasts as long as this module and turns to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_PROFILES_DIR", str(profiles))
        patch.chdir(PROJECT)

        def make(name: str) -> Mart:
            folder = tmp_path_factory.mktemp(name)
            return Mart(folder, folder / "mart.duckdb")

        yield make


def run(mart: Mart, *arguments: str | Path, code: int = 0) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENMART_DUCKDB_PATH", str(mart.path))
        mart.run(*arguments, code=code)


def tables(mart: Mart) -> Tables:
    """All rows of all marts, as they are now."""
    columns = defaultdict(list)
    for table, column in mart.query(
        "select table_name, column_name from information_schema.columns where table_schema = 'marts'"
        " order by ordinal_position"
    ):
        columns[table].append(column)
    return {
        table: [dict(zip(columns[table], row, strict=True)) for row in mart.query(f"select * from marts.{table}")]
        for table in TABLES
    }


def one(rows: Iterable[Row], **values: Any) -> Row:
    """The only row with these values."""
    (row,) = [row for row in rows if all(row[name] == value for name, value in values.items())]
    return row


def total(rows: Iterable[Row], column: str) -> Decimal:
    return sum((row[column] for row in rows if row[column] is not None), Decimal(0))


def by_day(rows: Iterable[Row]) -> dict[dt.date, list[str]]:
    """The rows of each day, in any order."""
    days = defaultdict(list)
    for row in rows:
        days[row["usage_date"]].append(repr(row))
    return {day: sorted(found) for day, found in days.items()}


def values(found: Tables, *, without_day: dt.date | None = None) -> dict[str, list[str]]:
    """The rows of the marts, in any order, without the bookkeeping of loads and runs."""
    origin = ("load_id", "loaded_at", "batch_id")
    return {
        table: sorted(
            repr([(name, value) for name, value in row.items() if name not in origin])
            for row in rows
            if without_day is None or row.get("usage_date") != without_day
        )
        for table, rows in found.items()
    }


# -------------------------------------------------------------------------------------------------- the cases


def claude_code(message_id: str, output: int, *, request_id: str | None = None, **usage: Any) -> Row:
    """A line of Claude Code's with usage."""
    line = {"type": "assistant", "sessionId": "claude", "cwd": "/w", "timestamp": "2026-10-01T09:30:00.123Z"}
    counts = {
        "input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
    }
    message = {"id": message_id, "role": "assistant", "model": "claude-opus-4-5-20251101", "usage": {**counts, **usage}}
    return {
        **line,
        "uuid": f"{message_id} {output}",
        **({"requestId": request_id} if request_id else {}),
        "message": message,
    }


def cost_point(session: str, day: dt.date, tokens: int, *, second: int = 0) -> Row:
    """A line of ctm's: the session has had so many tokens of output by then, at a dollar each."""
    milliseconds = int(dt.datetime(day.year, day.month, day.day, 12, 0, second, tzinfo=dt.UTC).timestamp()) * 1000
    counts = {"input_tokens": 0, "cache_tokens": 0, "output_tokens": tokens}
    return {"ts": milliseconds, "session": session, **counts, "cost_usd_micros": tokens * 1_000_000}


@pytest.fixture(scope="module")
def cases(make_mart: Callable[[str], Mart]) -> Mart:
    """A target that the cases have been loaded and built in."""
    mart = make_mart("cases")
    mart.write(
        "first/ledger.jsonl",
        tokenledger(
            *("cached", "2026-10-01T12:00:00Z"),
            provider="google",
            model="gemini-3-flash-preview",
            input_tokens=20_212,
            cached_tokens=16_298,
            output_tokens=931,
        ),
        tokenledger("unknown model", provider="acme", model="acme-llm-1"),
        tokenledger("known to be free", provider="acme", model="acme-llm-1", cost_usd=0),
        tokenledger("less than nothing", cost_usd=-0.5),
        tokenledger("unmetered", input_tokens=None, cached_tokens=None, output_tokens=None, status="error"),
        tokenledger("nothing used", input_tokens=0, cached_tokens=0, output_tokens=0),
        *[tokenledger(f"tenth {n}", user_id="tenths", cost_usd=0.1) for n in range(10)],
        *[tokenledger(f"daily {day}", f"{day}T08:00:00Z", user_id="daily", duration_ms=100) for day in DAYS],
        tokenledger("tie", f"{TIED_DAY}T12:00:00Z", team=TIED_TEAMS[0]),
        tokenledger("reversed tie", f"{TIED_DAY}T12:00:00Z", team=TIED_TEAMS[1]),
    )
    writes = {"ephemeral_5m_input_tokens": 600_000, "ephemeral_1h_input_tokens": 400_000}
    mart.write(
        "first/claude.jsonl",
        {"type": "summary", "summary": "-", "leafUuid": "u"},
        claude_code("writes", 0, cache_creation_input_tokens=1_000_000, cache_creation=writes),
        claude_code("reasoning", 1_970, output_tokens_details={"thinking_tokens": 956}),
        *[claude_code("streamed", output, request_id="r1") for output in (9, 9, 159)],
        *[claude_code("no request id", 100) for _ in range(3)],
    )
    mart.write(
        "first/points.jsonl",
        *[cost_point("in order", DAYS[7], tokens, second=n) for n, tokens in enumerate((100, 250, 250, 400))],
    )
    mart.write(
        "first/late points.jsonl",
        *[cost_point("late", TOTALS[n], (100, 250, 400)[n]) for n in (0, 2)],
        *[cost_point("", TOTALS_WITHOUT_SESSION[n], (100, 250, 400)[n]) for n in (0, 2)],
    )
    mart.write("own/totals.sql", OWN_FORMAT)
    mart.write(
        "own/totals.jsonl",
        {"at": "2026-10-20T12:00:00Z", "session": "own", "output": 100, "reasoning": 20},
        {"at": "2026-10-20T12:00:01Z", "session": "own", "output": 250, "reasoning": 60},
    )
    run(mart, "load", mart.folder / "first")
    run(mart, "load", mart.folder / "own" / "totals.jsonl", "--format", mart.folder / "own" / "totals.sql")
    run(mart, "build")
    return mart


@pytest.fixture(scope="module")
def first(cases: Mart) -> Tables:
    """The marts of the cases."""
    return tables(cases)


@pytest.fixture(scope="module")
def later(cases: Mart, first: Tables) -> Tables:
    """The marts after an event that is ten days late, and running totals from between those that were there."""
    late_points = [cost_point("late", TOTALS[1], 250, second=n) for n in range(2)]
    cases.write("second/points.jsonl", *late_points, cost_point("", TOTALS_WITHOUT_SESSION[1], 250))
    cases.write("second/ledger.jsonl", tokenledger("late", f"{LATE_DAY}T23:00:00Z", status="timeout", duration_ms=300))
    run(cases, "load", cases.folder / "second")
    run(cases, "build")
    return tables(cases)


@pytest.fixture(scope="module")
def again(cases: Mart, later: Tables) -> Tables:
    """The marts after everything was delivered again, and two events that say as much, but another thing."""
    cases.write(
        "third/ledger.jsonl",
        tokenledger("tie", f"{TIED_DAY}T12:00:00Z", team=TIED_TEAMS[1]),
        tokenledger("reversed tie", f"{TIED_DAY}T12:00:00Z", team=TIED_TEAMS[0]),
    )
    run(cases, "load", "--again", *(cases.folder / name for name in ("first", "second", "third")))
    run(cases, "build")
    return tables(cases)


@pytest.fixture(scope="module")
def rebuilt(cases: Mart, again: Tables) -> Tables:
    """The marts after a full refresh from all landed events."""
    run(cases, "build", "--full-refresh")
    return tables(cases)


def test_cached_tokens_are_billed_once(first: Tables) -> None:
    request = one(first["llm_requests"], event_id="cached")
    # 3,914 x 0.50 + 16,298 x 0.05 + 931 x 3.00, per million
    assert request["cost_usd"] == Decimal("0.0055649")
    assert (request["input_tokens"], request["cache_read_tokens"]) == (20_212, 16_298)


def test_one_hour_cache_writes_have_their_own_price(first: Tables) -> None:
    request = one(first["llm_requests"], event_id="writes")
    # 0.6 x 6.25 + 0.4 x 10.00
    assert request["cost_usd"] == request["cache_write_cost_usd"] == Decimal("7.75")
    assert (request["input_tokens"], request["cache_write_tokens"]) == (1_000_000, 1_000_000)


def test_reasoning_is_billed_once(first: Tables) -> None:
    request = one(first["llm_requests"], event_id="reasoning")
    assert (request["output_tokens"], request["reasoning_tokens"]) == (1_970, 956)
    assert request["cost_usd"] == Decimal("0.04925")  # 1,970 x 25.00 per million


def test_streamed_snapshots_are_one_request(first: Tables) -> None:
    assert one(first["llm_requests"], event_id="streamed/r1")["output_tokens"] == 159


def test_a_message_without_a_request_id_is_one_request(first: Tables) -> None:
    assert one(first["llm_requests"], event_id="no request id")["output_tokens"] == 100
    assert one(first["sessions"], session_id="claude")["requests"] == 4
    assert one(first["sessions"], session_id="claude")["output_tokens"] == 0 + 1_970 + 159 + 100


def test_running_totals_are_not_summed(first: Tables) -> None:
    session = one(first["sessions"], session_id="in order")
    assert (session["output_tokens"], session["cost_usd"]) == (400, 400)
    assert one(first["daily_costs_by_model"], provider="unattributed", usage_date=DAYS[7])["cost_usd"] == 400


def test_running_totals_may_come_late_and_out_of_order(first: Tables, later: Tables, rebuilt: Tables) -> None:
    assert costs_of(TOTALS, first) == [100, None, 300]
    # of the 250 of the day between, 150 are its own; the last day has added as many
    assert costs_of(TOTALS, later) == costs_of(TOTALS, rebuilt) == [100, 150, 150]
    for found in (first, later, rebuilt):
        session = one(found["sessions"], session_id="late")
        assert (session["output_tokens"], session["cost_usd"]) == (400, 400)


def test_running_totals_without_a_session_are_those_of_one(first: Tables, later: Tables, rebuilt: Tables) -> None:
    assert costs_of(TOTALS_WITHOUT_SESSION, first) == [100, None, 300]
    assert costs_of(TOTALS_WITHOUT_SESSION, rebuilt) == [100, 150, 150]
    assert costs_of(TOTALS_WITHOUT_SESSION, later) == [100, 150, 150]


def costs_of(days: list[dt.date], found: Tables) -> list[Decimal | None]:
    rows = {row["usage_date"]: row["cost_usd"] for row in found["daily_costs"]}
    return [rows.get(day) for day in days]


def test_no_part_of_a_running_total_is_summed(first: Tables) -> None:
    session = one(first["sessions"], session_id="own")
    assert (session["output_tokens"], session["reasoning_tokens"]) == (250, 60)


def test_an_unknown_model_is_unpriced_and_a_free_one_costs_nothing(first: Tables) -> None:
    assert one(first["llm_requests"], event_id="unknown model")["cost_usd"] is None
    assert one(first["llm_requests"], event_id="known to be free")["cost_usd"] == 0
    model = one(first["daily_costs_by_model"], provider="acme", model="acme-llm-1")
    assert (model["requests"], model["priced_requests"], model["unpriced_requests"], model["cost_usd"]) == (2, 1, 1, 0)


def test_a_negative_cost_is_no_cost(first: Tables) -> None:
    request = one(first["llm_requests"], event_id="less than nothing")
    assert request["reported_cost_usd"] is None
    assert request["cost_usd"] == Decimal("0.00021")  # 1,000 x 0.15 + 100 x 0.60 per million


def test_missing_and_zero_are_told_apart(first: Tables) -> None:
    missing = one(first["llm_requests"], event_id="unmetered")
    assert {missing[name] for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cost_usd")} == {None}
    zero = one(first["llm_requests"], event_id="nothing used")
    assert {zero[name] for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cost_usd")} == {0}
    day = one(first["daily_costs"], usage_date=dt.date(2026, 10, 1))
    assert (day["unmetered_requests"], day["unpriced_requests"]) == (1, 2)


def test_sums_are_exact(first: Tables) -> None:
    assert one(first["users"], user_id="tenths")["cost_usd"] == 1


@pytest.mark.parametrize("stage", ["first", "later", "again", "rebuilt"])
def test_every_mart_adds_up_to_the_requests(stage: str, request: pytest.FixtureRequest) -> None:
    found: Tables = request.getfixturevalue(stage)
    sums = {
        table: (sum(row["requests"] for row in rows), total(rows, "output_tokens"), total(rows, "cost_usd"))
        for table, rows in found.items()
        if table not in ("llm_requests", "usage_summary") and "cost_usd" in rows[0]
    }
    requests = found["llm_requests"]
    assert set(sums.values()) == {(len(requests), total(requests, "output_tokens"), total(requests, "cost_usd"))}


def test_a_late_event_changes_its_day_alone(first: Tables, later: Tables) -> None:
    for table, rows in first.items():
        if not {"batch_id", "usage_date"} <= rows[0].keys():
            continue
        before, after = by_day(rows), by_day(later[table])
        changed = {day for day in before.keys() | after.keys() if before.get(day) != after.get(day)}
        of_totals = set() if table == "daily_errors_by_type" else set(TOTALS[1:])
        # the total before the late ones may be written again with its session
        assert changed - {TOTALS[0], *TOTALS_WITHOUT_SESSION} == {LATE_DAY} | of_totals, table
    day, was = (one(found["daily_costs"], usage_date=LATE_DAY) for found in (later, first))
    assert (was["requests"], day["requests"]) == (1, 2)
    assert day["cost_usd"] == 2 * was["cost_usd"] == Decimal("0.00042")
    assert one(later["daily_latency"], usage_date=LATE_DAY)["duration_ms_p50"] == 200
    assert one(later["daily_errors_by_model"], usage_date=LATE_DAY)["timeout_rate"] == 0.5


def test_delivering_everything_again_changes_nothing(later: Tables, again: Tables) -> None:
    before, after = values(later, without_day=TIED_DAY), values(again, without_day=TIED_DAY)
    assert [table for table in TABLES if before[table] != after[table]] == []
    last = max(row["batch_id"] for row in later["daily_costs"])
    written = {row["usage_date"] for row in again["daily_costs"] if row["batch_id"] > last}
    # what a running total adds is worked out again from all of its session
    assert written <= {DAYS[7], TIED_DAY, *TOTALS, *TOTALS_WITHOUT_SESSION}


def test_which_of_equal_snapshots_counts_does_not_depend_on_their_order(again: Tables, rebuilt: Tables) -> None:
    teams = {
        one(found["llm_requests"], event_id=event_id)["team"]
        for found in (again, rebuilt)
        for event_id in ("tie", "reversed tie")
    }
    assert len(teams) == 1, teams


def test_a_full_rebuild_gives_what_the_incremental_runs_gave(again: Tables, rebuilt: Tables) -> None:
    before, after = values(again), values(rebuilt)
    assert [table for table in TABLES if before[table] != after[table]] == []


def test_every_line_is_landed_skipped_or_rejected(make_mart: Callable[[str], Mart]) -> None:
    mart = make_mart("lines")
    mart.write(
        "ledger.jsonl", tokenledger("a"), "{broken", tokenledger("b", timestamp="yesterday"), "", tokenledger("a")
    )
    mart.write("claude.jsonl", {"type": "summary", "summary": "-", "leafUuid": "u"}, claude_code("m", 1))
    run(mart, "load", mart.folder, code=3)
    files = mart.query("select lines_read, lines_landed, lines_skipped, lines_rejected from raw_usage.loaded_files")
    assert sorted(files) == [(2, 1, 1, 0), (5, 2, 1, 2)]


# --------------------------------------------------------------------------------- a project with other settings


@dataclass(frozen=True)
class Changed:
    """The marts of one project in Shanghai's time, after a new price, and then in India's time."""

    shanghai: Tables
    repriced: Tables
    kolkata: Tables


def set_time_zone(project: Path, zone: str) -> None:
    path = project / "dbt_project.yml"
    text, found = re.subn("reporting_time_zone: .*", f"reporting_time_zone: {zone}", path.read_text())
    assert found == 1
    path.write_text(text)


def change_prices(project: Path, change: Callable[[Row], list[Row]]) -> None:
    """Replaces every row of the price table by the result of `change`."""
    path = project / "seeds" / "model_prices.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    with path.open("w") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(new for row in rows for new in change(row))


def with_a_free_model(row: Row) -> list[Row]:
    if (row["provider"], row["model_pattern"]) != ("openai", "gpt-4o-mini-2024-07-18"):
        return [row]
    prices = {name: "0" for name in row if name.endswith("_usd_per_million")}
    return [row, {**row, "provider": "acme", "model": "acme-free", "model_pattern": "acme-free-%", **prices}]


def doubled_on_the_fourth(row: Row) -> list[Row]:
    if (row["provider"], row["model_pattern"]) != ("openai", "gpt-4o-mini-2024-07-18"):
        return [row]
    prices = {name: str(2 * Decimal(row[name])) for name in row if name.endswith("_usd_per_million") and row[name]}
    return [{**row, "valid_to": "2026-10-04"}, {**row, **prices, "valid_from": "2026-10-04"}]


@pytest.fixture(scope="module")
def changed(make_mart: Callable[[str], Mart]) -> Changed:
    mart = make_mart("changed")
    project = mart.folder / "project"
    for part in ("macros", "models", "seeds", "tests"):
        shutil.copytree(PROJECT / part, project / part, ignore=shutil.ignore_patterns("*.py", "__pycache__", "bench"))
    shutil.copy(PROJECT / "dbt_project.yml", project)
    mart.write(
        "ledger.jsonl",
        tokenledger("last of the first", "2026-10-01T15:59:59.999999Z"),
        tokenledger("first of the second", "2026-10-01T16:00:00Z"),
        tokenledger("half past eleven", "2026-10-01T23:30:00Z"),
        tokenledger("last in India", "2026-10-02T18:29:59Z"),
        tokenledger("first in India", "2026-10-02T18:30:00Z"),
        tokenledger("before the change", "2026-10-03T23:59:59.999999Z"),
        tokenledger("after the change", "2026-10-04T00:00:00Z"),
        tokenledger("free", "2026-10-04T12:00:00Z", provider="acme", model="acme-free-1"),
    )
    set_time_zone(project, "Asia/Shanghai")
    change_prices(project, with_a_free_model)
    run(mart, "load", mart.folder / "ledger.jsonl", "--project-dir", project)
    run(mart, "build", "--project-dir", project)
    shanghai = tables(mart)

    change_prices(project, doubled_on_the_fourth)
    run(mart, "build", "--full-refresh", "--project-dir", project)
    repriced = tables(mart)

    set_time_zone(project, "Asia/Kolkata")
    run(mart, "build", "--full-refresh", "--project-dir", project)
    return Changed(shanghai, repriced, tables(mart))


def dates(found: Tables) -> dict[str, tuple[dt.date, dt.time]]:
    return {row["event_id"]: (row["usage_date"], row["usage_hour"].time()) for row in found["llm_requests"]}


def test_days_and_hours_are_those_of_the_reporting_time_zone(changed: Changed) -> None:
    first, second, third = (dt.date(2026, 10, day) for day in (1, 2, 3))
    shanghai, kolkata = dates(changed.shanghai), dates(changed.kolkata)
    assert shanghai["last of the first"] == (first, dt.time(23))
    assert shanghai["first of the second"] == (second, dt.time(0))
    assert shanghai["half past eleven"] == (second, dt.time(7))
    assert kolkata["last of the first"] == (first, dt.time(21))
    assert kolkata["half past eleven"] == (second, dt.time(5))
    assert kolkata["last in India"] == (second, dt.time(23))
    assert kolkata["first in India"] == (third, dt.time(0))


def test_the_days_of_every_time_zone_add_up_to_the_same(changed: Changed) -> None:
    sums = {
        (sum(row["requests"] for row in rows), total(rows, "cost_usd"))
        for found in (changed.repriced, changed.kolkata)
        for rows in (found["daily_costs"], found["hourly_costs"], found["daily_costs_by_model"])
    }
    # six at 0.00021, one at twice that, and a free one
    assert sums == {(8, Decimal("0.00168"))}


def test_a_later_price_leaves_closed_days_as_they_were(changed: Changed) -> None:
    changes = dt.date(2026, 10, 4)
    for table in (
        "daily_costs",
        "hourly_costs",
        "daily_costs_by_model",
        "daily_costs_by_user",
        "daily_costs_by_attribution",
    ):
        before, after = (
            [{**row, "batch_id": None} for row in found[table] if row["usage_date"] < changes]
            for found in (changed.shanghai, changed.repriced)
        )
        assert before
        assert by_day(before) == by_day(after), table
    requests = changed.repriced["llm_requests"]
    assert one(requests, event_id="before the change")["cost_usd"] == Decimal("0.00021")
    assert one(requests, event_id="after the change")["cost_usd"] == Decimal("0.00042")


def test_a_model_listed_as_free_costs_nothing(changed: Changed) -> None:
    assert one(changed.shanghai["llm_requests"], event_id="free")["cost_usd"] == 0


# -------------------------------------------------------------------------- a sample, counted again in Python

DIMENSIONS = ("organization_id", "team", "project", "cost_center", "app_name", "environment", "feature")
COPIED = (
    *("provider", "model", "output_tokens", "status", "error_type", "error_message"),
    *("user_id", "session_id"),
)
PARTS_OF_COST = ("input_cost_usd", "cache_read_cost_usd", "cache_write_cost_usd", "output_cost_usd")
PLACES = Decimal("1e-12")


@dataclass(frozen=True)
class Request:
    """A request as its log line has it: input with its cached parts, output with its reasoning."""

    event_id: str
    occurred_at: dt.datetime
    provider: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    output_tokens: int | None = None
    reasoning_tokens: int | None = None
    reported_cost_usd: Decimal | None = None
    duration_ms: float | None = None
    status: str | None = None
    error_type: str | None = None
    error_message: str | None = None
    user_id: str | None = None
    session_id: str | None = None
    organization_id: str | None = None
    team: str | None = None
    project: str | None = None
    cost_center: str | None = None
    app_name: str | None = None
    environment: str | None = None
    feature: str | None = None
    time_to_first_token_ms: float | None = None
    input_cost_usd: Decimal | None = None
    cache_read_cost_usd: Decimal | None = None
    cache_write_cost_usd: Decimal | None = None
    output_cost_usd: Decimal | None = None

    @property
    def usage_date(self) -> dt.date:
        return self.occurred_at.date()

    @property
    def usage_hour(self) -> dt.datetime:
        return self.occurred_at.replace(minute=0, second=0, microsecond=0)

    @property
    def computed_cost_usd(self) -> Decimal | None:
        return None if self.input_cost_usd is None else sum((getattr(self, part) for part in PARTS_OF_COST), Decimal(0))

    @property
    def cost_usd(self) -> Decimal | None:
        return self.computed_cost_usd if self.reported_cost_usd is None else self.reported_cost_usd


def utc(text: str) -> dt.datetime:
    """A time as the marts show it, in UTC; one that names no offset is in UTC."""
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=None)


def money(value: Any) -> Decimal | None:
    """To twelve places; a negative amount is none."""
    amount = None if value is None else Decimal(value).quantize(PLACES, ROUND_HALF_UP)
    return None if amount is None or amount < 0 else amount


def tokenledger_request(line: Row) -> Request:
    cached, given = line["cached_tokens"], line["input_tokens"]
    is_exclusive = line["provider"] == "anthropic" or (given is not None and (cached or 0) > given)
    return Request(
        line["event_id"],
        utc(line["timestamp"]),
        input_tokens=given if given is None or not is_exclusive else given + (cached or 0),
        cache_read_tokens=cached,
        reported_cost_usd=money(line["cost_usd"]),
        duration_ms=None if line["duration_ms"] is None else float(line["duration_ms"]),
        **{name: line[name] for name in (*COPIED, *DIMENSIONS)},
    )


def tokenmeter_request(line: Row) -> Request:
    read, write = line["cache_read_tokens"], line["cache_write_tokens"]
    return Request(
        line["id"],
        utc(line["timestamp"]),
        line["provider"],
        line["model"],
        input_tokens=line["input_tokens"] + (read + write if line["provider"] == "anthropic" else 0),
        cache_read_tokens=read,
        cache_write_tokens=write,
        output_tokens=line["output_tokens"],
        reported_cost_usd=money(line["total_cost"]),
        user_id=line["user_id"],
        session_id=line["session_id"],
        team=line["tags"].get("team"),
        cost_center=line["tags"].get("cost_center"),
    )


def claude_code_request(line: Row) -> Request | None:
    message = line.get("message", {})
    if line["type"] != "assistant" or "usage" not in message or message["model"] == "<synthetic>":
        return None
    usage = message["usage"]
    read, write = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    return Request(
        f"{message['id']}/{line['requestId']}",
        utc(line["timestamp"]),
        "anthropic",
        message["model"],
        input_tokens=usage["input_tokens"] + read + write,
        cache_read_tokens=read,
        cache_write_tokens=write,
        cache_write_1h_tokens=usage["cache_creation"]["ephemeral_1h_input_tokens"],
        output_tokens=usage["output_tokens"],
        reasoning_tokens=usage["output_tokens_details"]["thinking_tokens"],
        status="success",
        session_id=line["sessionId"],
        project=line["cwd"],
        app_name="claude-code",
    )


def ctm_requests(lines: list[Row]) -> Iterator[Request]:
    """What each total adds to the one before it in its session."""
    before: dict[str, Row] = {}
    names = ("input_tokens", "cache_tokens", "output_tokens", "cost_usd_micros")
    for number, line in sorted(enumerate(lines), key=lambda numbered: numbered[1]["ts"]):
        last = before.get(line["session"], dict.fromkeys(names, 0))
        prompt, cached, output, micros = (line[name] - last[name] for name in names)
        before[line["session"]] = line
        yield Request(
            f"ctm {number}",
            dt.datetime.fromtimestamp(line["ts"] // 1000, dt.UTC).replace(
                tzinfo=None, microsecond=line["ts"] % 1000 * 1000
            ),
            input_tokens=prompt + cached,
            cache_read_tokens=cached,
            output_tokens=output,
            reported_cost_usd=Decimal(micros) / 1_000_000,
            session_id=line["session"],
        )


def fullest(snapshots: Iterable[Request]) -> list[Request]:
    """One request of each id: the one with the most output."""
    best: dict[str, Request] = {}
    for snapshot in snapshots:
        other = best.setdefault(snapshot.event_id, snapshot)
        if (snapshot.output_tokens or 0) > (other.output_tokens or 0):
            best[snapshot.event_id] = snapshot
    return list(best.values())


@cache
def price_rows() -> list[tuple[Row, re.Pattern[str]]]:
    with (PROJECT / "seeds" / "model_prices.csv").open() as file:
        return [(row, like(row["model_pattern"])) for row in csv.DictReader(file)]


def like(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"%": ".*", "_": "."}.get(sign, re.escape(sign)) for sign in pattern), re.DOTALL)


@cache
def price_of(provider: str, model: str, day: dt.date) -> Row | None:
    """The price row of a model on a day: of its provider, else of a vendor; the lowest rank, and then the day."""
    fits = [row for row, pattern in price_rows() if pattern.fullmatch(model)]
    own = [row for row in fits if row["provider"] == provider] or [row for row in fits if row["is_vendor"] == "true"]
    if not own:
        return None
    best = min((int(row["match_order"]), row["provider"], row["model_pattern"]) for row in own)
    for row in own:
        if (int(row["match_order"]), row["provider"], row["model_pattern"]) == best and (
            (row["valid_from"] or "1900-01-01") <= day.isoformat() < (row["valid_to"] or "2200-01-01")
        ):
            return row
    return None


def priced(request: Request) -> Request:
    """The request with the parts of its cost, where tokens and prices are known."""
    if request.model is None or (request.input_tokens is None and request.output_tokens is None):
        return request
    row = price_of((request.provider or "").lower(), request.model.lower(), request.occurred_at.date())
    if row is None:
        return request
    read, write = request.cache_read_tokens or 0, request.cache_write_tokens or 0
    hour = request.cache_write_1h_tokens or 0
    prompt = row["input_usd_per_million"]
    write_price = row["cache_write_usd_per_million"] or prompt
    write_cost = cost(write - hour, write_price) + cost(hour, row["cache_write_1h_usd_per_million"] or write_price)
    return replace(
        request,
        input_cost_usd=cost((request.input_tokens or 0) - read - write, prompt),
        cache_read_cost_usd=cost(read, row["cache_read_usd_per_million"] or prompt),
        cache_write_cost_usd=write_cost,
        output_cost_usd=cost(request.output_tokens or 0, row["output_usd_per_million"] or "0"),
    )


def cost(tokens: int, usd_per_million: str) -> Decimal:
    return tokens * Decimal(usd_per_million) / 1_000_000


def known(requests: list[Request], name: str) -> list[Any]:
    return [value for value in (getattr(request, name) for request in requests) if value is not None]


def added(requests: list[Request], name: str) -> Any:
    values = known(requests, name)
    return sum(values) if values else None


def costs(requests: list[Request]) -> Row:
    tokens = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
    money_ = ("cost_usd", "reported_cost_usd", "computed_cost_usd", *PARTS_OF_COST)
    return {
        "requests": len(requests),
        "priced_requests": len(known(requests, "cost_usd")),
        "unpriced_requests": len(requests) - len(known(requests, "cost_usd")),
        "unmetered_requests": sum(r.input_tokens is None and r.output_tokens is None for r in requests),
        **{name: added(requests, name) for name in (*tokens, *money_)},
    }


def span(requests: list[Request]) -> Row:
    times = known(requests, "occurred_at")
    return {"first_request_at": min(times), "last_request_at": max(times)}


def durations(requests: list[Request]) -> Row:
    measures: Row = {}
    for name in ("duration_ms", "time_to_first_token_ms"):
        # as exact as they are written; of the marts' floats the last digit may differ
        ordered = sorted(Fraction(str(value)) for value in known(requests, name))
        exact = {"avg": sum(ordered) / len(ordered) if ordered else None, "max": max(ordered, default=None)}
        exact |= {f"p{percent}": percentile(ordered, Fraction(percent, 100)) for percent in (50, 90, 95, 99)}
        measures[f"{name}_requests"] = len(ordered)
        for measure, value in exact.items():
            # means are rounded to six places
            tolerance = {"abs": 5.001e-7, "rel": 0} if measure == "avg" else {"abs": 0, "rel": 1e-12}
            measures[f"{name}_{measure}"] = None if value is None else pytest.approx(float(value), **tolerance)
    return measures


def percentile(ordered: list[Fraction], p: Fraction) -> Fraction | None:
    """Linear interpolation between the two values that the place (n - 1) x p lies between."""
    if not ordered:
        return None
    place = (len(ordered) - 1) * p
    low, high = ordered[math.floor(place)], ordered[math.ceil(place)]
    return low + (high - low) * (place - math.floor(place))


def failures(requests: list[Request]) -> Row:
    statuses = [request.status for request in requests]
    return {"requests": len(statuses), "errors": statuses.count("error"), "timeouts": statuses.count("timeout")}


def rates(requests: list[Request]) -> Row:
    counts = failures(requests)
    return {
        **counts,
        "error_rate": counts["errors"] / counts["requests"],
        "timeout_rate": counts["timeouts"] / counts["requests"],
    }


Count = Callable[[list[Request]], Row]
COUNTS: dict[str, tuple[tuple[str, ...], Count]] = {
    "daily_costs": (("usage_date",), costs),
    "hourly_costs": (("usage_date", "usage_hour"), costs),
    "daily_costs_by_model": (("usage_date", "provider", "model"), costs),
    "daily_costs_by_user": (("usage_date", "user_id"), lambda group: costs(group) | span(group)),
    "daily_costs_by_attribution": (("usage_date", *DIMENSIONS), costs),
    "daily_latency": (("usage_date",), lambda group: {"requests": len(group), **durations(group)}),
    "daily_latency_by_model": (
        ("usage_date", "provider", "model"),
        lambda group: {"requests": len(group), **durations(group)},
    ),
    "daily_errors_by_model": (("usage_date", "provider", "model"), rates),
    "daily_errors_by_type": (
        ("usage_date", "provider", "model", "error_type", "error_message"),
        lambda group: {"failed_requests" if name == "requests" else name: n for name, n in failures(group).items()},
    ),
    "sessions": (
        ("session_id",),
        lambda group: costs(group) | span(group) | {"users": len(set(known(group, "user_id")))},
    ),
    "users": (
        ("user_id",),
        lambda group: costs(group) | span(group) | {"active_days": len(set(known(group, "usage_date")))},
    ),
}


@dataclass(frozen=True)
class Recount:
    """A sample of all formats: what it has, counted here, and what the marts say."""

    requests: list[Request]
    found: Tables


@pytest.fixture(scope="module")
def recount(make_mart: Callable[[str], Mart]) -> Recount:
    mart = make_mart("recount")
    lines = defaultdict(list)
    for path in write_sample(mart.folder / "sample", events=400, days=9, seed=3, formats=FORMATS):
        format_ = path.relative_to(mart.folder / "sample").parts[0]
        lines[format_] += [json.loads(line, parse_float=Decimal) for line in path.read_text().splitlines()]
    requests = fullest(
        [
            *map(tokenledger_request, lines["tokenledger"]),
            *map(tokenmeter_request, lines["tokenmeter"]),
            *filter(None, map(claude_code_request, lines["claude_code"])),
            *ctm_requests(lines["ctm"]),
        ]
    )
    run(mart, "load", mart.folder / "sample")
    run(mart, "build")
    return Recount([priced(request) for request in requests], tables(mart))


def test_a_recount_has_what_can_go_wrong(recount: Recount) -> None:
    """A sample without caches, failures or gaps would prove little."""
    requests = recount.requests
    assert len(requests) == 4 * 400
    assert {request.status for request in requests} == {"success", "error", "timeout", None}
    for name in ("cost_usd", "input_tokens", "user_id", "session_id", "team", "duration_ms"):
        assert 0 < len(known(requests, name)) < len(requests), name
    assert added(requests, "cache_write_1h_tokens") > 0
    assert any(request.reported_cost_usd not in (None, request.computed_cost_usd) for request in requests)


@pytest.mark.parametrize("mart", COUNTS)
def test_a_recount_in_python_gives_the_same(mart: str, recount: Recount) -> None:
    keys, count = COUNTS[mart]
    groups = defaultdict(list)
    for request in recount.requests:
        if mart != "daily_errors_by_type" or request.status not in ("success", None):
            values_of_keys = [getattr(request, key) for key in keys]
            groups[tuple("unattributed" if value is None else value for value in values_of_keys)].append(request)
    expected = {group: count(requests) for group, requests in groups.items()}
    found = {tuple(row.pop(key) for key in keys): row for row in map(dict, recount.found[mart])}
    for row in found.values():
        row.pop("batch_id", None)
    assert found == expected


def test_a_recount_of_the_windows_gives_the_same(recount: Recount) -> None:
    days = known(recount.requests, "usage_date")
    first, last = min(days), max(days)
    for row in recount.found["usage_summary"]:
        offset = row["window_days"] if row["period"] == "previous" else 0
        first_date, last_date = (last - dt.timedelta(offset + days) for days in (row["window_days"] - 1, 0))
        assert (row["first_date"], row["last_date"]) == (first_date, last_date)
        requests = [request for request in recount.requests if first_date <= request.usage_date <= last_date]
        spent, counts = added(requests, "cost_usd"), failures(requests)
        # the sample's days are over
        complete = max((last_date - max(first_date, first)).days + 1, 0)
        month = spent and (spent * 30 / complete).quantize(PLACES, ROUND_HALF_UP) if complete >= 3 else None
        expected = {
            **costs(requests),
            **durations(requests),
            "active_users": len(set(known(requests, "user_id"))),
            "errors": counts["errors"],
            "timeouts": counts["timeouts"],
            "error_rate": counts["errors"] / len(requests) if requests else None,
            "average_cost_usd": spent and (spent / len(requests)).quantize(PLACES, ROUND_HALF_UP),
            "projection_days": complete,
            "projected_month_cost_usd": month,
        }
        window = {name: row[name] for name in ("window_days", "period", "first_date", "last_date")}
        assert row == window | expected
