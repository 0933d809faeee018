"""After every run the marts equal a recount of all delivered lines, and only the days that changed were rebuilt.

The recount is plain Python without SQL: it reads the delivered lines and the price list below.
"""

import datetime as dt
import hashlib
import json
import random
import re
import shutil
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner

from conftest import PROJECT, Mart, as_line, tokenledger

Row = tuple[Any, ...]
Event = dict[str, Any]

MINI, SONNET, UNKNOWN = "gpt-4o-mini-2024-07-18", "claude-sonnet-4-5-20250929", "acme-llm-1"
PROVIDERS = {MINI: "openai", SONNET: "anthropic", UNKNOWN: "acme", None: None}
# USD per million tokens, from the providers' price lists: input, cache read, output
PRICES = {
    MINI: ("0.15", "0.075", "0.60"),
    SONNET: ("3", "0.30", "15"),
    "claude-haiku-4-5-20251001": ("1", "0.10", "5"),
    "claude-opus-4-5-20251101": ("5", "0.50", "25"),
    "gemini-2.5-flash": ("0.30", "0.03", "2.50"),
    "gemini-2.5-pro": ("1.25", "0.125", "10"),
    "gpt-4o-2024-08-06": ("2.50", "1.25", "10"),
    "gpt-5-2025-08-07": ("1.25", "0.125", "10"),
    "mistral-large-latest": ("2", "2", "6"),
    "text-embedding-3-small": ("0.02", "0.02", "0"),
}
PLACES = Decimal("1e-12")
DAILY = (
    "daily_costs",
    "daily_costs_by_attribution",
    "daily_costs_by_model",
    "daily_costs_by_session",
    "daily_costs_by_user",
    "daily_errors_by_model",
    "daily_errors_by_type",
    "daily_latency",
    "daily_latency_by_model",
    "hourly_costs",
)
SUMMARIES = ("sessions", "usage_summary", "users")
BOOK_KEEPING = ("batch_id", "loaded_at", "load_id")


# ---------------------------------------------------------------- the recount


def of_tokenledger(line: dict[str, Any]) -> Event:
    """What a TokenLedger line says, with the input inclusive of its cached part, as Anthropic's is not."""
    tokens, cached = line["input_tokens"], line["cached_tokens"]
    if line["provider"] == "anthropic" and tokens is not None:
        tokens += cached or 0
    cost = line.get("cost_usd")
    return {
        "id": line["event_id"],
        "at": dt.datetime.fromisoformat(line["timestamp"]).replace(tzinfo=None),
        "provider": line["provider"],
        "model": line["model"],
        "input": tokens,
        "cached": cached,
        "output": line["output_tokens"],
        "reported": None if cost is None else Decimal(repr(cost)).quantize(PLACES),
        "ms": line.get("duration_ms"),
        "user": line.get("user_id"),
        "session": line.get("session_id"),
        "status": line["status"],
        "error": line.get("error_type"),
    }


def of_ctm(lines: Iterable[dict[str, Any]]) -> list[Event]:
    """What the lines of a ctm file say: running totals, known by content and by its occurrence in the file."""
    times: dict[bytes, int] = defaultdict(int)
    events = []
    for line in lines:
        content = as_line(line)
        times[content] += 1
        events.append(
            {
                "id": f"{hashlib.md5(content).hexdigest()}-{times[content]}",
                "at": dt.datetime(1970, 1, 1) + dt.timedelta(milliseconds=line["ts"]),
                "provider": None,
                "model": None,
                "input": line["input_tokens"] + line["cache_tokens"],
                "cached": line["cache_tokens"],
                "output": line["output_tokens"],
                "reported": (line["cost_usd_micros"] * Decimal("0.000001")).quantize(PLACES),
                "ms": None,
                "user": None,
                "session": line["session"],
                "status": None,
                "is_total": True,
            }
        )
    return events


def requests_of(events: Iterable[Event]) -> list[Event]:
    """One event a request, the fullest, priced; of a running total what its parts add to the highest before them."""

    def fullness(event: Event) -> tuple[Any, ...]:
        known = [-1 if event[name] is None else event[name] for name in ("output", "input", "reported", "ms")]
        return (*known, -event["at"].timestamp())

    fullest: dict[str, Event] = {}
    for event in events:
        if event["id"] not in fullest or fullness(event) > fullness(fullest[event["id"]]):
            fullest[event["id"]] = event
    requests = [dict(event) for event in fullest.values()]
    reached: dict[tuple[str, str], Any] = {}
    for request in sorted(requests, key=lambda request: (request["at"], request["id"])):
        if not request.get("is_total"):
            continue
        request["input"] -= request["cached"]
        for name in ("input", "cached", "output", "reported"):
            before = reached.get((request["session"], name), 0)
            reached[request["session"], name] = max(before, request[name])
            request[name] = max(request[name] - before, 0 * request[name])
        request["input"] += request["cached"]
    for request in requests:
        request["computed"] = computed_cost(request)
        request["cost"] = request["computed"] if request["reported"] is None else request["reported"]
    return requests


def computed_cost(request: Event) -> Decimal | None:
    if request["model"] not in PRICES or (request["input"] is None and request["output"] is None):
        return None
    price, cached_price, output_price = map(Decimal, PRICES[request["model"]])
    cached = request["cached"] or 0
    millionths = (
        ((request["input"] or 0) - cached) * price + cached * cached_price + (request["output"] or 0) * output_price
    )
    return (millionths / 1_000_000).quantize(PLACES)


def recount(events: Iterable[Event]) -> dict[str, list[Row]]:
    """The rows that six models must have."""
    requests = requests_of(events)
    by_model, by_user, by_session, by_error = (defaultdict[Any, list[Event]](list) for _ in range(4))
    for request in requests:
        provider, model = request["provider"] or "unattributed", request["model"] or "unattributed"
        by_model[request["at"].date(), provider, model].append(request)
        by_user[request["user"] or "unattributed"].append(request)
        by_session[request["session"] or "unattributed"].append(request)
        if request["status"] not in (None, "success"):
            by_error[request["at"].date(), provider, model, request["error"] or "unattributed"].append(request)
    counted: dict[str, list[Row]] = {
        "llm_requests": [
            (
                *(
                    request["id"],
                    request["at"],
                    request["at"].date(),
                    request["at"].replace(minute=0, second=0, microsecond=0),
                ),
                *(request[name] for name in ("provider", "model", "input", "cached", "output", "ms")),
                *(request[name] for name in ("reported", "computed", "cost", "user", "session", "status")),
            )
            for request in requests
        ],
        "daily_costs_by_model": [(*key, *measures(group)) for key, group in by_model.items()],
        "daily_latency_by_model": [(*key, len(group), *durations(group)) for key, group in by_model.items()],
        "daily_errors_by_type": [(*key, len(group), *failures(group)) for key, group in by_error.items()],
        "users": [
            (key, *span(group), len({request["at"].date() for request in group}), *measures(group))
            for key, group in by_user.items()
        ],
        "sessions": [
            (key, *span(group), len({request["user"] for request in group} - {None}), *measures(group))
            for key, group in by_session.items()
        ],
    }
    return {name: sorted(rows, key=repr) for name, rows in counted.items()}


def measures(group: Sequence[Event]) -> Row:
    priced = [request for request in group if request["cost"] is not None]
    unmetered = [request for request in group if request["input"] is None and request["output"] is None]
    totals = [total(group, name) for name in ("input", "cached", "output", "cost", "reported", "computed")]
    return (len(group), len(priced), len(group) - len(priced), len(unmetered), *totals)


def failures(group: Sequence[Event]) -> Row:
    statuses = [request["status"] for request in group]
    return statuses.count("error"), statuses.count("timeout")


def total(group: Sequence[Event], name: str) -> Any:
    known = [request[name] for request in group if request[name] is not None]
    return sum(known) if known else None


def span(group: Sequence[Event]) -> Row:
    times = [request["at"] for request in group]
    return min(times), max(times)


def durations(group: Sequence[Event]) -> Row:
    known = sorted(request["ms"] for request in group if request["ms"] is not None)
    if not known:
        return (0, *[None] * 6)
    return (len(known), sum(known) / len(known), *(percentile(known, p) for p in (50, 90, 95, 99)), known[-1])


def percentile(ordered: Sequence[float], p: int) -> float:
    """Interpolated between the neighbors, as PERCENTILE_CONT is defined."""
    whole, part = divmod(p * (len(ordered) - 1), 100)
    after = ordered[min(whole + 1, len(ordered) - 1)]
    return ordered[whole] + (after - ordered[whole]) * part / 100


MEASURES = (
    "requests, priced_requests, unpriced_requests, unmetered_requests, input_tokens, cache_read_tokens,"
    " output_tokens, cost_usd, reported_cost_usd, computed_cost_usd"
)
SELECTED = {
    "llm_requests": "event_id, occurred_at, usage_date, usage_hour, provider, model, input_tokens,"
    " cache_read_tokens, output_tokens, duration_ms, reported_cost_usd, computed_cost_usd, cost_usd, user_id,"
    " session_id, status",
    "daily_costs_by_model": f"usage_date, provider, model, {MEASURES}",
    "daily_latency_by_model": "usage_date, provider, model, requests, timed_requests, duration_ms_avg,"
    " duration_ms_p50, duration_ms_p90, duration_ms_p95, duration_ms_p99, duration_ms_max",
    "daily_errors_by_type": "usage_date, provider, model, error_type, failed_requests, errors, timeouts",
    "users": f"user_id, first_request_at, last_request_at, active_days, {MEASURES}",
    "sessions": f"session_id, first_request_at, last_request_at, users, {MEASURES}",
}


def are_equal(found: Any, expected: Any) -> bool:
    """Floats within 1e-9 of each other, all else to the last digit."""
    if isinstance(expected, float) and found is not None:
        return abs(found - expected) <= 1e-9 * max(1, abs(expected))
    return bool(found == expected)


# ---------------------------------------------------------------- the steps


@dataclass
class Story:
    """A target, and all that was delivered to it. `incomplete` load ids count for nothing."""

    mart: Mart
    artifacts: Path
    loads: list[tuple[str, list[Event]]] = field(default_factory=list)
    incomplete: set[str] = field(default_factory=set)

    def deliver(self, *lines: dict[str, Any], name: str | None = None, options: Sequence[str] = ()) -> str:
        """Loads a file of these TokenLedger or ctm lines and returns the load id."""
        path = self.mart.write(name or f"delivery-{len(self.loads)}.jsonl", *lines)
        loaded = self.mart.json("load", path, *options)
        assert sum(file["landed"] for file in loaded["files"]) == len(lines)
        events = of_ctm(lines) if "ts" in lines[0] else [of_tokenledger(line) for line in lines]
        self.loads.append((loaded["load_id"], events))
        return str(loaded["load_id"])

    def mark(self, load_id: str, *, is_complete: bool) -> None:
        """Says in dlt's own table whether a load came to its end."""
        self.mart.query(f"update raw_usage._dlt_loads set status = {int(not is_complete)} where load_id = '{load_id}'")
        (self.incomplete.discard if is_complete else self.incomplete.add)(load_id)

    def build(self, *options: str) -> None:
        """Builds the marts and compares them with the recount."""
        self.mart.run("build", "--force", *options)
        events = [event for load_id, events in self.loads if load_id not in self.incomplete for event in events]
        for model, expected in recount(events).items():
            found = sorted(self.mart.query(f"select {SELECTED[model]} from marts.{model}"), key=repr)
            wrong = [
                (row, right) for row, right in zip(found, expected, strict=False) if not all(map(are_equal, row, right))
            ]
            assert not wrong, f"{model}: {wrong[0][0]}\nis not {wrong[0][1]}"
            assert len(found) == len(expected), model

    def step(
        self,
        *,
        days: Iterable[str] = (),
        requests: Iterable[str] = (),
        bounds: Iterable[str] | None = None,
        days_of: dict[str, list[str]] | None = None,
    ) -> None:
        """Builds, and checks that the SQL names just these days, and that just they and these requests changed.

        `bounds` are the days that the delete from llm_requests is bound to, `days_of` the days of single marts.
        """
        before = self.rows_by_day()
        self.build()
        after = self.rows_by_day()
        expected = {mart: sorted(days) for mart in DAILY} | (days_of or {})
        written = {mart: sorted({day for day, _ in before[mart] ^ after[mart]}) for mart in DAILY}
        # a day may lose or gain requests without its failures being any other ones
        assert set(written["daily_errors_by_type"]) <= set(expected["daily_errors_by_type"])
        expected["daily_errors_by_type"] = written["daily_errors_by_type"]
        assert written == expected
        assert {mart: self.literal_days(f"compiled/tokenmart/models/marts/{mart}.sql") for mart in DAILY} == expected
        changed = before["llm_requests"] ^ after["llm_requests"]
        assert {row[0] for _, row in changed} == set(requests)
        if bounds is not None:
            path = "run/tokenmart/models/requests/llm_requests.sql"
            delete = (self.artifacts / path).read_text().partition("delete from")[2].partition("insert into")[0]
            assert self.days_in(delete) == sorted(bounds)

    def rows_by_day(self) -> dict[str, set[tuple[str, Row]]]:
        """Every row of the models that have days, batch and all, with its day."""
        return {
            model: {
                (str(row[0]), row[1:])
                for row in self.mart.query(f"select cast(usage_date as text), {model}.* from marts.{model}")
            }
            for model in (*DAILY, "llm_requests")
        }

    def literal_days(self, artifact: str) -> list[str]:
        return self.days_in((self.artifacts / artifact).read_text())

    @staticmethod
    def days_in(sql: str) -> list[str]:
        """The days that bound a statement; it has no bounds in a first build and in a full refresh."""
        assert "usage_date in (date '" in sql or "1 = 0" in sql
        return sorted(set(re.findall(r"date '(\d{4}-\d\d-\d\d)'", sql)))

    def contents(self) -> dict[str, list[Row]]:
        """All rows of the requests and of every mart, without book-keeping."""
        return {
            model: sorted(
                self.mart.query(f"select columns(lambda name: name not in {BOOK_KEEPING}) from marts.{model}"),
                key=repr,
            )
            for model in ("llm_requests", *DAILY, *SUMMARIES)
        }

    def everything(self) -> dict[str, list[Row]]:
        """All rows of all tables that dbt makes, batches and all."""
        tables = self.mart.query("select table_name from duckdb_tables() where schema_name = 'marts'")
        return {name: sorted(self.mart.query(f"select * from marts.{name}"), key=repr) for (name,) in tables}

    def dbt(self, *arguments: str, project: Path = PROJECT) -> None:
        """Runs dbt itself, for what the command does not do."""
        outcome = self.invoke(*arguments, project=project)
        assert outcome.success, outcome.exception

    def invoke(self, *arguments: str, project: Path = PROJECT) -> Any:
        """Runs dbt itself and returns what it returned."""
        from tokenmart.dbt_runner import disconnect

        outcome = dbtRunner().invoke([*arguments, "--project-dir", str(project), "--quiet"])
        disconnect()
        return outcome


def event(event_id: str, timestamp: str, **fields: Any) -> dict[str, Any]:
    """A TokenLedger line whose measures are drawn by its id."""
    draw = random.Random(event_id)
    model = draw.choice([MINI, SONNET, UNKNOWN, None])
    failed = draw.random() < 0.05
    tokens = None if failed else draw.randrange(1, 9999)
    line = tokenledger(
        event_id,
        f"{timestamp}Z",
        provider=PROVIDERS[model],
        model=model,
        input_tokens=tokens,
        cached_tokens=None if failed else draw.randrange(0, tokens + 1),
        output_tokens=None if failed else draw.randrange(1, 999),
        cost_usd=None if failed or draw.random() < 0.4 else draw.randrange(1, 10**9) / 10**9,
        duration_ms=None if draw.random() < 0.1 else draw.randrange(1, 10**6) / 8,
        user_id=draw.choice(["u1", "u2", "u3", None]),
        session_id=draw.choice(["s1", "s2", "s3", "s4", None]),
        status=draw.choice(["error", "timeout"]) if failed else "success",
        error_type=draw.choice(["rate_limit", "overloaded", None]) if failed else None,
    )
    line.update({"provider": PROVIDERS[fields["model"]]} if "model" in fields else {})
    return {**line, **fields}


def snapshot(line: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The same request seen again."""
    return {**line, **fields}


def point(session: str, timestamp: str, input_: int, output: int, cache: int, micros: int) -> dict[str, Any]:
    """A ctm line: the session's totals at that time."""
    return {
        "ts": int(dt.datetime.fromisoformat(f"{timestamp}Z").timestamp() * 1000),
        "session": session,
        "input_tokens": input_,
        "output_tokens": output,
        "cache_tokens": cache,
        "cost_usd_micros": micros,
    }


BASE = [
    event(f"e{i}", (dt.datetime(2026, 1, 1) + dt.timedelta(minutes=37 * i)).isoformat()) for i in range(450)
]  # to 2026-01-12T12:53
BEFORE_MIDNIGHT = event("moving", "2026-01-12T23:59:30", model=SONNET, output_tokens=9, status="success")
ALONE_ON_ITS_DAY = event("alone", "2026-01-20T23:59:30", model=MINI, output_tokens=9, status="success")


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where dbt writes what it compiles and sends."""
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(autouse=True)
def _own_artifacts(artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DBT_TARGET_PATH", str(artifacts))
    monkeypatch.setenv("DBT_LOG_PATH", str(artifacts / "logs"))


@pytest.fixture(scope="module")
def base(artifacts: Path) -> tuple[Path, list[tuple[str, list[Event]]]]:
    """Where the first test keeps a DuckDB file with the base loaded and built, and what it was delivered."""
    return artifacts / "base.duckdb", []


@pytest.fixture
def empty(mart: Mart, artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> Story:
    """A target without anything, at the same path in every test: for another one dbt would parse everything again."""
    path = artifacts / "mart.duckdb"
    path.unlink(missing_ok=True)
    monkeypatch.setenv("TOKENMART_DUCKDB_PATH", str(path))
    return Story(replace(mart, path=path), artifacts)


@pytest.fixture
def story(empty: Story, base: tuple[Path, list[tuple[str, list[Event]]]]) -> Story:
    """A target with the base loaded and built: 452 requests from the 1st to the 12th, and on the 20th."""
    path, loads = base
    if not path.exists():
        empty.deliver(*BASE, BEFORE_MIDNIGHT, ALONE_ON_ITS_DAY)
        empty.build()
        shutil.copy(empty.mart.path, path)
        loads += empty.loads
    shutil.copy(path, empty.mart.path)
    empty.loads = list(loads)
    return empty


# ---------------------------------------------------------------- requests


def test_a_first_build_counts_everything_and_a_second_finds_nothing_new(story: Story) -> None:
    assert story.mart.query("select count(*), min(usage_date), max(usage_date) from marts.llm_requests") == [
        (452, dt.date(2026, 1, 1), dt.date(2026, 1, 20))
    ]
    assert story.mart.query("select count(*) from marts.daily_errors_by_type") > [(10,)]
    before = story.everything()
    story.step(bounds=[])
    assert story.everything() == before


def test_a_new_day_and_an_event_ten_days_late_touch_their_two_days_alone(story: Story) -> None:
    story.deliver(event("late", "2026-01-03T05:00:00"), *(event(f"n{i}", f"2026-01-13T0{i}:00:00") for i in range(3)))
    days = ["2026-01-03", "2026-01-13"]
    story.step(days=days, requests=["late", "n0", "n1", "n2"], bounds=days)
    story.step(bounds=[])


def test_snapshots_across_midnight_move_their_requests_and_an_emptied_day_vanishes(story: Story) -> None:
    story.deliver(
        snapshot(BEFORE_MIDNIGHT, timestamp="2026-01-13T00:00:20Z", output_tokens=159),
        snapshot(ALONE_ON_ITS_DAY, timestamp="2026-01-21T00:00:20Z", output_tokens=159, cost_usd=0.1),
    )
    days = ["2026-01-12", "2026-01-13", "2026-01-20", "2026-01-21"]
    story.step(days=days, requests=["moving", "alone"], bounds=days)
    for mart in DAILY:
        assert story.mart.query(f"select count(*) from marts.{mart} where usage_date = date '2026-01-20'") == [(0,)]
    story.step()
    # back again, over more than a day, and onto the day that was emptied
    story.deliver(
        snapshot(BEFORE_MIDNIGHT, timestamp="2026-01-14T00:00:20Z", output_tokens=500),
        snapshot(ALONE_ON_ITS_DAY, timestamp="2026-01-20T00:00:00Z", output_tokens=500),
    )
    story.step(
        days=["2026-01-13", "2026-01-14", "2026-01-20", "2026-01-21"],
        requests=["moving", "alone"],
        bounds=["2026-01-13", "2026-01-14", "2026-01-20", "2026-01-21"],
    )


def test_events_delivered_again_change_no_row(story: Story) -> None:
    before = story.everything()
    story.deliver(*BASE[:40], name="copy.jsonl", options=["--again"])
    story.deliver(*reversed(BASE[:40]), *BASE[20:60], *BASE[:40], name="twice.jsonl")
    story.step(bounds=["2026-01-01", "2026-01-02"])
    after = story.everything()
    # but for the book-keeping: two loads more, each listed and processed, and their two days
    assert len(after.pop("loads")) == len(before.pop("loads")) + 4
    assert len(after.pop("affected_dates")) == len(before.pop("affected_dates")) + 2
    assert after == before


def test_an_incomplete_load_is_invisible_and_taken_once_it_is_complete(story: Story) -> None:
    fuller = snapshot(BASE[10], output_tokens=5000, provider="openai", model=MINI)
    load_id = story.deliver(fuller, event("lost", "2026-01-05T03:00:00"))
    story.mark(load_id, is_complete=False)
    story.step(bounds=[])
    story.build("--full-refresh")
    story.deliver(
        snapshot(fuller, output_tokens=4000),
        event("other", "2026-01-14T02:00:00"),
        event("same day", BASE[10]["timestamp"].removesuffix("Z")),
    )
    story.step(days=["2026-01-01", "2026-01-14"], requests=["e10", "other", "same day"])
    count = "select count(*), max(loaded_at) from marts.llm_requests where usage_date = date '2026-01-01'"
    before = story.mart.query(count)
    story.mark(load_id, is_complete=True)
    story.step(days=["2026-01-01", "2026-01-05"], requests=["e10", "lost"])
    assert story.mart.query(count) == before, "a watermark or a count would not have seen it"


def test_a_load_that_changes_nothing_writes_nothing(story: Story) -> None:
    line = event("streamed", "2026-01-13T01:00:00", output_tokens=700, status="success")
    story.deliver(line)
    story.step(days=["2026-01-13"], requests=["streamed"])
    # a late snapshot with less output, and one of an earlier day that also lost
    story.deliver(
        snapshot(line, output_tokens=20),
        snapshot(line, output_tokens=10, timestamp="2026-01-11T01:00:00Z"),
        *(snapshot(known, output_tokens=0) for known in BASE[:5] if known["output_tokens"]),
    )
    story.step(bounds=["2026-01-01", "2026-01-11", "2026-01-13"])
    story.step(bounds=[])


def test_marts_that_were_left_out_of_a_run_catch_up(story: Story) -> None:
    story.deliver(
        snapshot(BEFORE_MIDNIGHT, timestamp="2026-01-13T00:00:20Z", output_tokens=159),
        snapshot(ALONE_ON_ITS_DAY, timestamp="2026-01-19T00:00:20Z", output_tokens=159),
    )
    story.dbt("run", "-s", "loads", "stg_usage__events", "affected_dates", "llm_requests")
    story.deliver(event("m1", "2026-01-16T02:00:00"))
    story.dbt("run", "-s", "loads", "stg_usage__events", "affected_dates", "llm_requests")
    story.deliver(event("m2", "2026-01-17T02:00:00"))
    story.step(
        days=["2026-01-12", "2026-01-13", "2026-01-16", "2026-01-17", "2026-01-19", "2026-01-20"],
        requests=["m2"],
        bounds=["2026-01-17"],
    )


def test_days_lost_from_marts_heal_one_by_one(story: Story) -> None:
    before = story.everything()
    story.mart.query("delete from marts.daily_costs_by_model where usage_date = date '2026-01-03'")
    story.mart.query("delete from marts.daily_latency where usage_date >= date '2026-01-12'")
    story.mart.query("update marts.hourly_costs set requests = requests + 1 where usage_date = date '2026-01-05'")
    story.step(
        days_of={
            "daily_costs_by_model": ["2026-01-03"],
            "daily_latency": ["2026-01-12", "2026-01-20"],
            "hourly_costs": ["2026-01-05"],
        }
    )
    assert story.everything() == before


def test_a_lost_mark_lets_the_load_be_taken_again_without_a_change(story: Story) -> None:
    before = story.everything()
    story.mart.query("delete from marts.loads where load_status = 'processed'")
    story.step(bounds=sorted({line["timestamp"][:10] for line in BASE} | {"2026-01-12", "2026-01-20"}))
    after = story.everything()
    # each load was listed twice, and is processed once
    loads = [(load_id, status) for load_id, _, status in before.pop("loads")]
    assert sorted(row[::2] for row in after.pop("loads")) == sorted(
        loads + [row for row in loads if row[1] == "processing"]
    )
    assert set(after.pop("affected_dates")) > set(before.pop("affected_dates"))
    assert after == before


def test_batches_grow_even_where_a_clock_ran_ahead_before(story: Story) -> None:
    story.mart.query("insert into marts.loads values ('of a clock ahead', 9000000000000000, 'processed')")
    story.deliver(event("m1", "2026-01-03T02:00:00"))
    story.step(days=["2026-01-03"], requests=["m1"])
    assert story.mart.query("select max(batch_id) from marts.daily_costs") == [(9000000000000001,)]
    story.deliver(event("m2", "2026-01-04T02:00:00"))
    story.step(days=["2026-01-04"], requests=["m2"])


def test_a_request_lost_from_llm_requests_is_found_by_the_audit(story: Story) -> None:
    story.deliver(event("new", "2026-01-13T05:00:00"))
    story.step(days=["2026-01-13"], requests=["new"])
    story.mart.query("delete from marts.llm_requests where event_id = 'e200'")  # 2026-01-06
    story.mart.run("build", "--force")
    found = story.mart.run("audit", code=1).output
    assert "assert_no_request_is_lost_or_doubled" in found and "event_id=e200" in found and "--full-refresh" in found
    assert "daily_costs_by_model" in found
    story.dbt("run", "-s", "request_days", "--full-refresh")
    story.dbt("run")
    assert story.literal_days("compiled/tokenmart/models/marts/daily_costs.sql") == ["2026-01-06"]
    story.deliver(BASE[200], options=["--again"])
    story.step(days=["2026-01-06"], requests=["e200"])
    story.mart.run("audit")


def test_a_build_finds_what_was_lost_or_doubled_on_the_dates_that_it_affects(story: Story) -> None:
    story.mart.query("delete from marts.llm_requests where event_id = 'e200'")  # 2026-01-06
    story.mart.query("insert into marts.llm_requests from marts.llm_requests where event_id = 'e0'")  # 2026-01-01
    story.deliver(event("new", "2026-01-06T05:00:00"))
    failed = story.mart.json("build", code=1)["failures"]
    assert [failure for failure in failed if "lost_or_doubled" in failure and "event_id=e200, times=0" in failure]
    story.deliver(event("newer", "2026-01-01T05:00:00"))
    failed = story.mart.json("build", code=1)["failures"]
    assert [failure for failure in failed if "lost_or_doubled" in failure and "event_id=e0, times=2" in failure]


def test_a_run_without_the_affected_dates_stops_before_it_doubles_anything(story: Story) -> None:
    story.deliver(snapshot(BASE[0], output_tokens=5000))
    outcome = story.invoke("run", "-s", "loads", "llm_requests")
    assert "llm_requests needs the rows that affected_dates adds in the same run" in str(
        outcome.result.results[-1].message
    )
    story.build()


def test_a_run_without_retention_searches_no_history_for_deleted_requests(story: Story) -> None:
    # whoever searches finds that the first day is missing
    story.mart.query("delete from marts.llm_requests where usage_date = date '2026-01-01'")
    story.dbt("run", "-s", "llm_requests")


def test_a_full_refresh_equals_all_the_runs_before_it(story: Story) -> None:
    story.deliver(event("late", "2026-01-03T05:00:00"), event("new", "2026-01-13T05:00:00"), *BASE[100:150])
    story.step(days=["2026-01-03", "2026-01-13"], requests=["late", "new"])
    story.deliver(
        snapshot(BEFORE_MIDNIGHT, timestamp="2026-01-13T00:00:20Z", output_tokens=159),
        snapshot(ALONE_ON_ITS_DAY, timestamp="2026-01-21T00:00:20Z", output_tokens=159),
        snapshot(BASE[50], timestamp="2026-01-09T00:00:00Z", output_tokens=0),
    )
    story.step(days=["2026-01-12", "2026-01-13", "2026-01-20", "2026-01-21"], requests=["moving", "alone"])
    story.deliver(*CTM_LATER, name="later.jsonl")
    story.build()
    story.deliver(*CTM_EARLIER, name="earlier.jsonl")
    story.build()
    before = story.contents()
    story.build("--full-refresh")
    after = story.contents()
    for model in before:
        assert after[model] == before[model], model
    story.step(bounds=[])


def test_what_two_builds_at_once_have_doubled_is_put_right_by_the_next(story: Story) -> None:
    """As two runs leave it that take a load at the same time: both have written, counted and marked it."""
    before = story.contents()
    story.deliver(event("new", "2026-01-13T05:00:00"), snapshot(BASE[0], output_tokens=5000))
    story.build()
    mark = story.mart.query("select load_id, max(batch_id) from marts.loads group by 1 order by 2 desc limit 1")[0]
    for status in ("processing", "processed"):
        story.mart.query(f"insert into marts.loads values ('{mark[0]}', {mark[1] + 1}, '{status}')")
    story.mart.query(
        f"insert into marts.affected_dates select usage_date, {mark[1]} + 1 from marts.affected_dates"
        f" where batch_id = {mark[1]}"
    )
    for table in ("llm_requests", "request_days", "daily_costs"):
        story.mart.query(
            f"insert into marts.{table} select * replace ({mark[1]} + 1 as batch_id) from marts.{table}"
            f" where batch_id = {mark[1]}"
        )
    story.build()
    healed = story.everything()
    story.step()
    assert story.everything() == healed
    after = story.contents()
    story.build("--full-refresh")
    assert story.contents() == after != before


def test_a_day_that_was_counted_without_the_rows_of_another_run_is_counted_again(story: Story) -> None:
    story.deliver(event("new", "2026-01-12T05:00:00"))
    story.build()
    before = story.contents()
    story.mart.query("update marts.request_days set requests = requests - 1 where usage_date = date '2026-01-12'")
    story.build()
    assert story.contents() == before


# ---------------------------------------------------------------- running totals

CTM_EARLIER = [
    point("r1", "2026-01-30T23:00:00", 10, 5, 100, 1_000),
    point("r1", "2026-01-30T23:30:00", 25, 9, 250, 2_500),
]
CTM_LATER = [
    point("r1", "2026-01-31T00:10:00", 25, 9, 250, 2_500),
    point("r1", "2026-01-31T00:10:00", 25, 9, 250, 2_500),
    point("r1", "2026-01-31T00:20:00", 40, 12, 400, 4_000),
    point("r2", "2026-01-31T00:20:00", 7, 7, 7, 7),
]


def test_running_totals_that_arrive_late_change_what_the_later_ones_added(empty: Story) -> None:
    by_day = (
        "select cast(usage_date as text), requests, input_tokens, output_tokens, cost_usd"
        " from marts.daily_costs order by usage_date"
    )
    empty.deliver(*CTM_LATER, name="later.jsonl")
    empty.build()
    assert empty.mart.query(by_day) == [("2026-01-31", 4, 454, 19, Decimal("0.004007"))]
    load_id = empty.deliver(*CTM_EARLIER, name="earlier.jsonl")
    empty.mark(load_id, is_complete=False)
    empty.build("--full-refresh")
    # of the 440 + 14 input tokens (cached ones included) the session r1 had 275 by the end of the day before
    empty.mark(load_id, is_complete=True)
    empty.build()
    assert empty.mart.query(by_day) == [
        ("2026-01-30", 2, 275, 9, Decimal("0.0025")),
        ("2026-01-31", 4, 179, 10, Decimal("0.001507")),
    ]
    assert empty.literal_days("compiled/tokenmart/models/marts/daily_costs.sql") == [
        "2026-01-30",
        "2026-01-31",
    ]


def test_running_totals_delivered_again_change_no_row(empty: Story) -> None:
    empty.deliver(*CTM_EARLIER, *CTM_LATER, name="totals.jsonl")
    empty.build()
    before = empty.everything()
    empty.deliver(*CTM_EARLIER, *CTM_LATER, name="totals.jsonl", options=["--again"])
    empty.step()
    after = empty.everything()
    assert len(after.pop("loads")) == len(before.pop("loads")) + 2
    assert len(after.pop("affected_dates")) == len(before.pop("affected_dates")) + 2
    assert after == before


def test_a_running_total_that_falls_in_one_column_stops_no_mart(empty: Story) -> None:
    empty.deliver(
        point("r1", "2026-01-30T23:00:00", 100, 10, 0, 500),
        point("r1", "2026-01-30T23:00:10", 50, 20, 40, 600),
        name="totals.jsonl",
    )
    empty.deliver(event("good", "2026-01-30T12:00:00"))
    for options in ([], ["--full-refresh"]):
        empty.build(*options)
        assert empty.mart.query(
            "select sum(input_tokens), sum(cache_read_tokens), sum(output_tokens), sum(cost_usd)"
            " from marts.llm_requests where is_running_total"
        ) == [(140, 40, 20, Decimal("0.0006"))]


def test_a_running_total_more_writes_itself_alone(empty: Story) -> None:
    empty.deliver(*CTM_EARLIER, *CTM_LATER, name="totals.jsonl")
    empty.build()
    last = point("r1", "2026-02-01T00:20:00", 45, 13, 450, 4_500)
    empty.deliver(last, name="last.jsonl")
    empty.step(days=["2026-02-01"], requests=[event["id"] for event in of_ctm([last])])


# ---------------------------------------------------------------- the project changed


@pytest.fixture
def project(empty: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the dbt project, for changing it, with its own artifacts."""
    folder = tmp_path / "project"
    folder.mkdir()
    shutil.copy(PROJECT / "dbt_project.yml", folder)
    for name in ("macros", "models", "seeds", "tests"):
        shutil.copytree(PROJECT / name, folder / name)
    empty.artifacts = tmp_path / "artifacts"
    monkeypatch.setenv("DBT_TARGET_PATH", str(empty.artifacts))
    return folder


def change(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert text.count(old) >= 1, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


def test_days_begin_in_the_reporting_time_zone(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    change(project / "dbt_project.yml", "reporting_time_zone: UTC", "reporting_time_zone: Asia/Shanghai")
    change(project / "dbt_project.yml", "late_data_days: null", "late_data_days: 1")
    # 16:00 in UTC is midnight in Shanghai
    moving = event("moving", "2026-01-12T15:59:30", output_tokens=9, status="success", cached_tokens=3)
    staying = event("staying", "2026-01-11T15:59:59.999999", output_tokens=9, status="success", cached_tokens=4)
    mart.run("load", mart.write("first.jsonl", moving, staying), *here)
    mart.run("build", *here)
    days = "select cast(usage_date as text), requests from marts.daily_costs_by_model order by 1"
    assert mart.query(days) == [("2026-01-11", 1), ("2026-01-12", 1)]

    later = snapshot(moving, timestamp="2026-01-12T16:00:00Z", output_tokens=77)
    mart.run("load", mart.write("second.jsonl", later), *here)
    mart.run("build", *here)
    assert mart.query(days) == [("2026-01-11", 1), ("2026-01-13", 1)]
    assert empty.literal_days("compiled/tokenmart/models/marts/daily_costs_by_model.sql") == [
        "2026-01-12",
        "2026-01-13",
    ]


def test_changed_settings_are_refused_until_a_full_refresh(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    log = mart.write("first.jsonl", event("a", "2026-01-11T12:00:00", model=UNKNOWN, cost_usd=None, output_tokens=9))
    mart.run("run", log, *here)
    count = "select count(cost_usd), count(*) from marts.llm_requests"
    assert mart.query(count) == [(0, 1)]

    prices = project / "seeds/model_prices.csv"
    columns = prices.read_text().splitlines()[0].split(",")
    row = {"provider": "acme", "model": UNKNOWN, "model_pattern": UNKNOWN, "match_order": "1", "is_vendor": "true"}
    row |= {"input_usd_per_million": "1", "output_usd_per_million": "1", "priced_as_of": "2026-11-09"}
    prices.write_text(prices.read_text().rstrip("\n") + "\n" + ",".join(row.get(name, "") for name in columns) + "\n")
    change(project / "dbt_project.yml", "cost_preference: reported", "cost_preference: computed")
    refused = mart.run("build", *here, code=1).output
    assert "cost_preference has changed from reported to computed, and the prices in" in refused
    assert "tokenmart build --full-refresh" in refused
    assert mart.query(count) == [(0, 1)]
    for command in ("compile", "docs generate", "build --empty --exclude-resource-type unit_test"):
        empty.dbt(*command.split(), project=project)
    assert mart.query(count) == [(0, 1)]

    mart.run("build", "--full-refresh", *here)
    mart.run("build", *here)
    assert mart.query(count) == [(1, 1)]


def test_unknown_variables_and_values_are_refused_before_anything_is_built(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    mart.run("load", mart.write("first.jsonl", event("a", "2026-01-11T12:00:00")), *here)
    file = project / "dbt_project.yml"
    change(file, "    retention_days: null", "    retention_dayz: 30")
    refused = mart.json("build", *here, code=1)["error"]
    assert "Tokenmart has no variable retention_dayz (did you mean retention_days?)." in refused and ">" not in refused
    change(file, "    retention_dayz: 30", "    1: 30")
    assert "Tokenmart has no variable 1." in mart.json("build", *here, code=1)["error"]
    change(file, "    1: 30", "    retention_days: null")
    change(file, "  tokenmart:\n    #", "  retention_days: 30\n  tokenmart:\n    #")
    assert "variables that dbt ignores: retention_days" in mart.json("build", *here, code=2)["error"]

    wrong = {
        "distribute": True,
        "cost_preference": "computd",
        "retention_days": "30",
        "late_data_days": -1,
        "columnstore_after_days": True,
        "reporting_time_zone": "Europe/Berln",
        "live_usage": "yes",
        "table_engine": None,
    }
    places = ["--project-dir", str(project), "--log-level", "none", "--vars", json.dumps(wrong)]
    refused = str(dbtRunner().invoke(["build", *places]).exception)
    for part in (
        "Tokenmart has no variable distribute (did you mean distributed?).",
        'cost_preference is "computd": write reported or computed.',
        'retention_days is "30": write a whole number of days from 1 to 36500, or null.',
        "late_data_days is -1: write a whole number of days from 0 to 36500, or null.",
        "columnstore_after_days is true: write a whole number",
        'reporting_time_zone is "Europe/Berln", which is not a time zone (did you mean Europe/Berlin?)',
        'live_usage is "yes": write true or false.',
        "table_engine is null",
    ):
        assert part in refused
    assert mart.query("select count(*) from information_schema.tables where table_schema = 'marts'") == [(0,)]


@pytest.mark.parametrize(
    "damage", ["drop table marts.build_settings", "update marts.build_settings set batch_id = batch_id + 1"]
)
def test_marts_without_the_settings_they_were_built_with_are_refused(story: Story, damage: str) -> None:
    """Those of version 0.1 have none; a full refresh that was cut off has older requests than settings."""
    story.mart.query(damage)
    for _ in range(2):
        said = story.mart.run("build", code=1).output
        assert "built by an earlier version" in said and "To rebuild everything" in said
        assert "Compilation Error" not in said and "in macro" not in said
    said = story.mart.run("doctor", code=1).output
    assert "built by an earlier version" in said and "tokenmart build --full-refresh" in said
    story.build("--full-refresh")
    story.mart.run("doctor")
    story.build()


def test_a_new_column_wants_the_mart_built_anew(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    mart.run("load", mart.write("first.jsonl", event("a", "2026-01-11T12:00:00", output_tokens=9)), *here)
    mart.run("build", *here)
    model = project / "models/marts/daily_costs_by_model"
    change(
        model.with_suffix(".sql"),
        "    max(",
        "    cast(max(attributed.output_tokens) as bigint) as longest_output,\n    max(",
    )
    change(
        model.with_suffix(".yml"),
        "      - name: batch_id",
        "      - name: longest_output\n        data_type: bigint\n      - name: batch_id",
    )
    mart.run("load", mart.write("second.jsonl", event("b", "2026-01-12T12:00:00", output_tokens=77)), *here)
    failed = mart.run("build", *here, code=1)
    assert "tokenmart build --full-refresh" in failed.output
    mart.run("build", "--full-refresh", *here)
    longest = "select cast(usage_date as text), longest_output from marts.daily_costs_by_model order by 1"
    assert mart.query(longest) == [("2026-01-11", 9), ("2026-01-12", 77)]


def test_a_load_that_is_listed_while_requests_are_written_is_left_to_the_next_run(
    empty: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    mart = empty.mart
    mart.run("run", mart.write("first.jsonl", BASE[0]))
    mart.run("load", mart.write("second.jsonl", event("second", "2026-01-12T12:00:00")))
    add_query, listed = DuckDBConnectionManager.add_query, []

    def with_another(self: Any, sql: str, *arguments: Any, **options: Any) -> Any:
        done = add_query(self, sql, *arguments, **options)
        if "create temporary table" in sql and "llm_requests__dbt_tmp" in sql:
            listed.append(add_query(self, "insert into marts.loads values ('later', 1, 'processing')"))
        return done

    with monkeypatch.context() as patch:
        patch.setattr(DuckDBConnectionManager, "add_query", with_another)
        mart.run("build")
    assert len(listed) == 1
    processed = "bool_or(load_status = 'processed')"
    found = mart.query(f"select load_id, {processed} from marts.loads group by load_id order by load_id")
    assert [is_processed for _, is_processed in found] == [True, True, False] and found[2][0] == "later"


def test_days_that_are_not_kept_go_and_stay_away(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    first, last = event("old", "2026-01-11T12:00:00"), event("young", "2026-01-12T00:00:00")
    mart.run("load", mart.write("first.jsonl", first, last), *here)
    mart.run("build", *here)
    days = "select cast(usage_date as text) from marts.{} order by 1"
    assert mart.query(days.format("daily_costs")) == [("2026-01-11",), ("2026-01-12",)]

    kept = (dt.datetime.now(dt.UTC).date() - dt.date(2026, 1, 12)).days
    # nothing is deleted, so nothing has to be restored
    change(project / "dbt_project.yml", "retention_days: null", f"retention_days: {kept + 9}")
    mart.run("build", *here)
    change(project / "dbt_project.yml", f"retention_days: {kept + 9}", "retention_days: null")
    mart.run("build", *here)
    applied = "select retention_days from marts.build_settings order by batch_id"
    assert mart.query(applied) == [(None,), (kept + 9,), (None,)]

    change(project / "dbt_project.yml", "retention_days: null", f"retention_days: {kept}")
    mart.run("load", mart.write("second.jsonl", event("late", "2026-01-10T12:00:00")), *here)
    for again in ([], ["--full-refresh"]):
        mart.run("build", *again, *here)
        for name in ("llm_requests", "request_days", *DAILY):
            if name != "daily_errors_by_type":
                assert mart.query(days.format(name)) == [("2026-01-12",)], name
    assert mart.query("select count(*) from raw_usage.events") == [(3,)]

    # raised or removed, it brings back what was landed, but only all at once
    change(project / "dbt_project.yml", f"retention_days: {kept}", "retention_days: null")
    refused = mart.run("build", *here, code=1).output
    assert "retention_days has been raised or removed" in refused and "tokenmart build --full-refresh" in refused
    assert "tokenmart undo" not in refused
    # with --empty nothing is compared, and nothing is forgotten
    empty.dbt("run", "--empty", project=project)
    assert "retention_days has been raised or removed" in mart.run("build", *here, code=1).output
    mart.run("build", "--full-refresh", *here)
    assert mart.query(applied) == [(None,)]
    assert len(mart.query(days.format("daily_costs"))) == 3


def test_a_wrong_type_in_a_contract_is_refused(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    mart.run("load", mart.write("first.jsonl", BASE[0]), *here)
    change(
        project / "models/marts/daily_latency_by_model.yml",
        "- name: requests\n        data_type: \"{{ var('types').count[target.type] }}\"",
        "- name: requests\n        data_type: \"{{ var('types').text[target.type] }}\"",
    )
    result = mart.run("build", *here, code=1)
    assert "daily_latency_by_model: " in result.output and "contract" in result.output
    assert json.loads(mart.run("build", *here, "--json", code=1).stdout)["failures"]
