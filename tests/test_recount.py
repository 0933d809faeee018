"""The marts of a sample of all formats equal a recount in Python."""

import csv
import datetime as dt
import json
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from functools import cache
from typing import Any

import pytest

from conftest import PROJECT, Mart
from marts import Row, Tables, run, tables
from tokenmart.sample import FORMATS, write_sample

DIMENSIONS = ("organization_id", "team", "project", "cost_center", "app_name", "environment", "feature")
COPIED = (
    *("provider", "model", "output_tokens", "status", "error_type", "error_message"),
    *("user_id", "session_id"),
)
PARTS_OF_COST = (
    *("input_cost_usd", "cache_read_cost_usd", "cache_write_cost_usd", "output_cost_usd"),
    "request_cost_usd",
    "web_search_cost_usd",
)
PLACES = Decimal("1e-12")


@dataclass(frozen=True)
class Request:
    """A request of a log; input includes the cached tokens, output includes the reasoning."""

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
    request_cost_usd: Decimal | None = None
    web_search_cost_usd: Decimal | None = None
    is_estimate: bool = False

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
    """A timestamp in UTC, without a time zone as in the marts; one without an offset is in UTC."""
    return dt.datetime.fromisoformat(text.replace("Z", "+00:00")).replace(tzinfo=None)


def money(value: Any) -> Decimal | None:
    """An amount with twelve decimal places; None if it is negative."""
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
        is_estimate=line["is_estimate"],
    )


def claude_code_request(line: Row) -> Request | None:
    message = line.get("message", {})
    if line["type"] != "assistant" or "usage" not in message or message["model"] == "<synthetic>":
        return None
    usage = message["usage"]
    read, write = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    return Request(
        message["id"],
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
    """The increase of each total over the one before it in its session."""
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
    """The snapshot with the most output of each request."""
    best: dict[str, Request] = {}
    for snapshot in snapshots:
        other = best.setdefault(snapshot.event_id, snapshot)
        if (snapshot.output_tokens or 0) > (other.output_tokens or 0):
            best[snapshot.event_id] = snapshot
    return list(best.values())


@cache
def seed(name: str) -> list[Row]:
    with (PROJECT / "seeds" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


@cache
def name_rows() -> list[tuple[Row, re.Pattern[str]]]:
    return [(row, like(row["model_pattern"])) for row in seed("model_names")]


def like(pattern: str) -> re.Pattern[str]:
    return re.compile("".join({"%": ".*", "_": "."}.get(sign, re.escape(sign)) for sign in pattern), re.DOTALL)


@cache
def listed_model(provider: str, name: str) -> tuple[str, str] | None:
    """The provider and model in the price list: its own, one that it passes on, or any vendor's if it is unknown."""
    provider = {row["alias"]: row["provider"] for row in seed("provider_aliases")}.get(provider, provider)
    vendors = {row["vendor"] for row in seed("passed_on_prices") if row["provider"] == provider}
    fits = [row for row, pattern in name_rows() if pattern.fullmatch(name)]
    own = [row for row in fits if row["provider"] == provider] or [
        row for row in fits if row["is_vendor"] == "true" and (not provider or row["provider"] in vendors)
    ]
    first = min(own, key=lambda row: int(row["match_order"]), default=None)
    return None if first is None else (first["provider"], first["model"])


def price_of(request: Request) -> Row | None:
    """The price row of a request in the standard tier, which all requests of the sample are in."""
    listed = listed_model((request.provider or "").lower(), (request.model or "").lower())
    if listed is None:
        return None
    day, minute = request.occurred_at.date().isoformat(), request.occurred_at.hour * 60 + request.occurred_at.minute
    (row,) = (
        row
        for row in seed("model_prices")
        if (row["provider"], row["model"], row["service_tier"]) == (*listed, "standard")
        and (row["valid_from"] or "1900-01-01") <= day < (row["valid_to"] or "2200-01-01")
        and int(row["from_minute"] or 0) <= minute < int(row["to_minute"] or 1440)
        and int(row["above_input_tokens"] or -1)
        < (request.input_tokens or 0)
        <= int(row["up_to_input_tokens"] or 10**12)
    )
    return row


def priced(request: Request) -> Request:
    """The request with the parts of its cost, where tokens and prices are known."""
    if request.model is None or (request.input_tokens is None and request.output_tokens is None):
        return request
    row = price_of(request)
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
        request_cost_usd=Decimal(row["request_usd"] or 0),
        # the sample has no searches
        web_search_cost_usd=Decimal(0),
    )


def cost(tokens: int, usd_per_million: str) -> Decimal:
    return tokens * Decimal(usd_per_million) / 1_000_000


def known(requests: list[Request], name: str) -> list[Any]:
    return [value for value in (getattr(request, name) for request in requests) if value is not None]


def total(requests: list[Request], name: str) -> Any:
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
        **{name: total(requests, name) for name in (*tokens, *money_)},
    }


def cost_checks(requests: list[Request]) -> Row:
    """How the costs were found. The sample has no free models, service tiers and known faults."""
    both = [r for r in requests if r.reported_cost_usd is not None and r.computed_cost_usd is not None]
    without_cache = [
        cost(r.input_tokens or 0, row["input_usd_per_million"])
        + (r.output_cost_usd or 0)
        + (r.request_cost_usd or 0)
        + (r.web_search_cost_usd or 0)
        for r in requests
        if r.computed_cost_usd is not None and (row := price_of(r))
    ]
    return {
        "reported_requests": len(known(requests, "reported_cost_usd")),
        "computed_requests": sum(r.reported_cost_usd is None and r.computed_cost_usd is not None for r in requests),
        "vendor_priced_requests": sum(not r.provider and price_of(r) is not None for r in requests),
        "estimated_requests": sum(r.is_estimate for r in requests),
        **dict.fromkeys(("free_requests", "not_billed_requests", "undated_requests"), 0),
        **dict.fromkeys(("standard_priced_requests", "faulty_requests"), 0),
        "compared_requests": len(both),
        "differing_requests": sum(abs(r.reported_cost_usd - r.computed_cost_usd) > Decimal("1e-6") for r in both),
        "compared_reported_cost_usd": total(both, "reported_cost_usd"),
        "compared_computed_cost_usd": total(both, "computed_cost_usd"),
        "cost_without_cache_usd": sum(without_cache) if without_cache else None,
    }


def span(requests: list[Request]) -> Row:
    times = known(requests, "occurred_at")
    return {"first_request_at": min(times), "last_request_at": max(times)}


def durations(requests: list[Request]) -> Row:
    measures: Row = {}
    for name in ("duration_ms", "time_to_first_token_ms"):
        # exact fractions; the last digit of a float in the marts may differ
        ordered = sorted(Fraction(str(value)) for value in known(requests, name))
        exact = {"avg": sum(ordered) / len(ordered) if ordered else None, "max": max(ordered, default=None)}
        exact |= {f"p{percent}": percentile(ordered, Fraction(percent, 100)) for percent in (50, 90, 95, 99)}
        measures["timed_requests" if name == "duration_ms" else "first_token_timed_requests"] = len(ordered)
        for measure, value in exact.items():
            # means are rounded to six decimal places
            tolerance = {"abs": 5.001e-7, "rel": 0} if measure == "avg" else {"abs": 0, "rel": 1e-12}
            measures[f"{name}_{measure}"] = None if value is None else pytest.approx(float(value), **tolerance)
    return measures


def percentile(ordered: list[Fraction], p: Fraction) -> Fraction | None:
    """Linear interpolation between the two values next to the position (n - 1) x p."""
    if not ordered:
        return None
    position = (len(ordered) - 1) * p
    low, high = ordered[math.floor(position)], ordered[math.ceil(position)]
    return low + (high - low) * (position - math.floor(position))


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
    "daily_costs_by_model": (
        ("usage_date", "provider", "model"),
        lambda group: costs(group) | cost_checks(group),
    ),
    "daily_costs_by_user": (("usage_date", "user_id"), lambda group: costs(group) | span(group)),
    "daily_costs_by_session": (
        ("usage_date", "session_id", "user_id"),
        lambda group: costs(group) | span(group),
    ),
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
    """A sample of all formats: its requests, counted here, and its marts."""

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


def test_the_sample_covers_what_can_go_wrong(recount: Recount) -> None:
    """A sample without caches, failures or gaps would prove little."""
    requests = recount.requests
    assert len(requests) == 4 * 400
    assert {request.status for request in requests} == {"success", "error", "timeout", None}
    for name in ("cost_usd", "input_tokens", "user_id", "session_id", "team", "duration_ms"):
        assert 0 < len(known(requests, name)) < len(requests), name
    assert total(requests, "cache_write_1h_tokens") > 0
    assert any(request.reported_cost_usd not in (None, request.computed_cost_usd) for request in requests)


@pytest.mark.parametrize("mart", COUNTS)
def test_a_mart_equals_the_recount(mart: str, recount: Recount) -> None:
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
    assert found == expected and expected


def test_usage_summary_equals_the_recount(recount: Recount) -> None:
    days = known(recount.requests, "usage_date")
    first, last = min(days), max(days)
    assert recount.found["usage_summary"]
    for row in recount.found["usage_summary"]:
        offset = row["window_days"] if row["period"] == "previous" else 0
        first_date, last_date = (last - dt.timedelta(offset + days) for days in (row["window_days"] - 1, 0))
        assert (row["first_date"], row["last_date"]) == (first_date, last_date)
        requests = [request for request in recount.requests if first_date <= request.usage_date <= last_date]
        spent, counts = total(requests, "cost_usd"), failures(requests)
        # all days of the sample have ended
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
