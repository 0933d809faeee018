"""Helpers for the tests of incremental runs: events, a target that is loaded and built in steps, and a recount.

The recount is plain Python without SQL: it uses the loaded lines and the price list below.
"""

import datetime as dt
import hashlib
import random
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

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
BOOKKEEPING = ("batch_id", "loaded_at", "load_id")


# ---------------------------------------------------------------- the recount


def of_tokenledger(line: dict[str, Any]) -> Event:
    """The event of a TokenLedger line. Its input includes the cached tokens, which Anthropic's input does not."""
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
    """The events of a ctm file: running totals, identified by their content and its occurrence in the file."""
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
    """The fullest snapshot of each request, with its cost; a running total as its increase over the highest."""

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
    """Interpolates between the neighbors, as PERCENTILE_CONT is defined."""
    index, part = divmod(p * (len(ordered) - 1), 100)
    after = ordered[min(index + 1, len(ordered) - 1)]
    return ordered[index] + (after - ordered[index]) * part / 100


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
    """Compares floats with a tolerance of 1e-9, and everything else exactly."""
    if isinstance(expected, float) and found is not None:
        return abs(found - expected) <= 1e-9 * max(1, abs(expected))
    return bool(found == expected)


# ---------------------------------------------------------------- the steps


@dataclass
class Story:
    """A target and the events that were loaded into it. Loads whose ids are in `incomplete` do not count."""

    mart: Mart
    artifacts: Path
    loads: list[tuple[str, list[Event]]] = field(default_factory=list)
    incomplete: set[str] = field(default_factory=set)

    def load(self, *lines: dict[str, Any], name: str | None = None, options: Sequence[str] = ()) -> str:
        """Loads a file of these TokenLedger or ctm lines and returns the load id."""
        path = self.mart.write(name or f"load-{len(self.loads)}.jsonl", *lines)
        loaded = self.mart.json("load", path, *options)
        assert sum(file["landed"] for file in loaded["files"]) == len(lines)
        events = of_ctm(lines) if "ts" in lines[0] else [of_tokenledger(line) for line in lines]
        self.loads.append((loaded["load_id"], events))
        return str(loaded["load_id"])

    def mark(self, load_id: str, *, is_complete: bool) -> None:
        """Marks a load as complete or incomplete in dlt's own table."""
        self.mart.query(f"update raw_usage._dlt_loads set status = {int(not is_complete)} where load_id = '{load_id}'")
        (self.incomplete.discard if is_complete else self.incomplete.add)(load_id)

    def process_again(self) -> None:
        """Leaves the newest load as two builds at the same time do: both have written, counted and marked it."""
        query = self.mart.query
        ((load_id, batch),) = query("select load_id, batch_id from marts.loads order by batch_id desc limit 1")
        for status in ("processing", "processed"):
            query(f"insert into marts.loads values ('{load_id}', {batch + 1}, '{status}')")
        for table in ("affected_dates", "llm_requests", "request_days", "daily_costs"):
            query(
                f"insert into marts.{table} select * replace ({batch + 1} as batch_id) from marts.{table}"
                f" where batch_id = {batch}"
            )

    def build(self, *options: str) -> None:
        """Builds the marts and compares them with the recount."""
        if "Nothing to build" in self.mart.run("build", *options).output:
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
        """Builds, and checks that the SQL contains only these days, and that only they and these requests changed.

        `bounds` are the days in the delete from llm_requests; `days_of` are the days of single marts, if different.
        """
        before = self.rows_by_day()
        self.build()
        after = self.rows_by_day()
        expected = {mart: sorted(days) for mart in DAILY} | (days_of or {})
        written = {mart: sorted({day for day, _ in before[mart] ^ after[mart]}) for mart in DAILY}
        # a day may lose or gain requests while its failures stay the same
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
        """All rows of the models that have days, with batch_id, each with its day."""
        return {
            model: {
                (str(row[0]), row[1:])
                for row in self.mart.query(f"select cast(usage_date as text), {model}.* from marts.{model}")
            }
            for model in (*DAILY, "llm_requests")
        }

    def literal_days(self, artifact: str) -> list[str]:
        """The days that bound the statement in this file of dbt's artifacts."""
        return self.days_in((self.artifacts / artifact).read_text())

    @staticmethod
    def days_in(sql: str) -> list[str]:
        """The days that bound a statement; it has no bounds in a first build and in a full refresh."""
        assert "usage_date in (date '" in sql or "1 = 0" in sql
        return sorted(set(re.findall(r"date '(\d{4}-\d\d-\d\d)'", sql)))

    def contents(self) -> dict[str, list[Row]]:
        """All rows of the requests and of every mart, without the bookkeeping columns."""
        return {
            model: sorted(
                self.mart.query(f"select columns(lambda name: name not in {BOOKKEEPING}) from marts.{model}"),
                key=repr,
            )
            for model in ("llm_requests", *DAILY, *SUMMARIES)
        }

    def everything(self) -> dict[str, list[Row]]:
        """All rows of all tables that dbt creates, with the bookkeeping columns."""
        tables = self.mart.query("select table_name from duckdb_tables() where schema_name = 'marts'")
        return {name: sorted(self.mart.query(f"select * from marts.{name}"), key=repr) for (name,) in tables}

    def dbt(self, *arguments: str, project: Path = PROJECT) -> None:
        """Runs dbt directly, for what `tokenmart` does not do."""
        outcome = self.invoke(*arguments, project=project)
        assert outcome.success, outcome.exception

    def invoke(self, *arguments: str, project: Path = PROJECT) -> Any:
        """Runs dbt directly and returns its result."""
        from tokenmart.dbt_runner import close_dbt_connections

        # without the target, as the command gives it, dbt would parse the project again
        places = ["--project-dir", str(project), "--target", "duckdb"]
        outcome = dbtRunner().invoke([*arguments, *places, "--quiet"])
        close_dbt_connections()
        return outcome


def event(event_id: str, timestamp: str, **fields: Any) -> dict[str, Any]:
    """A TokenLedger line with random measures, with its id as the seed."""
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
    """Another snapshot of the request of this line."""
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
