"""Queries the warehouse for the summary of the marts, the state of loads and builds, and the rejected lines."""

import base64
import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from tokenmart.destinations import Warehouse
from tokenmart.errors import TokenmartError
from tokenmart.profile import Target

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Summary:
    """A summary of the marts: totals, and figures by model (most expensive first), by day, by window and by month.

    A part is empty if its mart does not exist because it is disabled or its build failed. `months` has the last month
    with requests, up to its last day with requests, and the whole month before it.
    """

    totals: dict[str, Any]
    models: Rows
    days: Rows
    windows: Rows
    months: Rows


@dataclass(frozen=True)
class Status:
    """The state of loads and builds.

    `pending` is the number of complete loads that are not in the marts, `orphaned` the number of rows without a
    complete load, and `samples` the number of sample rows. `has_undone` is true if the marts contain rows of loads that
    were undone. `last_build` is the newest row of `builds`, None if there is none.
    """

    events: int
    newest_event_at: Any
    last_loaded_at: Any
    loads: Rows
    rejects: Rows
    omitted: Rows
    pending: int
    orphaned: int
    samples: int
    has_undone: bool
    last_build: dict[str, Any] | None


def nothing_loaded(target: Target) -> TokenmartError:
    """The error for a target without loads."""
    return TokenmartError(
        "Nothing has been loaded into this target, or this login has no permission to read it.",
        f"Start with: tokenmart run PATH{target.option}. To write sample logs: tokenmart sample PATH",
    )


def summary(warehouse: Warehouse, target: Target) -> Summary:
    """Reads the summary from the marts."""
    marts = target.marts_schema
    built = warehouse.tables(marts)
    costs = "sum(requests), sum(unpriced_requests), sum(input_tokens), sum(output_tokens), sum(cost_usd)"
    names = ("requests", "unpriced_requests", "input_tokens", "output_tokens", "cost_usd")
    if "daily_costs" not in built:
        return Summary(totals={}, models=[], days=[], windows=[], months=[])
    totals = query_rows(
        warehouse,
        f"select {costs}, count(*), min(usage_date), max(usage_date) from {marts}.daily_costs",
        *names,
        "days",
        "first_date",
        "last_date",
    )[0]
    if not totals["days"]:
        # without rows, min() and max() are NULL in some warehouses and 1970 in others
        totals.update({"first_date": None, "last_date": None})
    totals.update({"errors": None, "timeouts": None})
    if "daily_errors_by_model" in built:
        query = f"select sum(errors), sum(timeouts) from {marts}.daily_errors_by_model"
        totals.update(query_rows(warehouse, query, "errors", "timeouts")[0])
    query = f"select usage_date, requests, cost_usd from {marts}.daily_costs order by usage_date"
    days = query_rows(warehouse, query, "usage_date", "requests", "cost_usd")
    latencies = {}
    if "daily_latency" in built:
        query = f"select usage_date, duration_ms_p95 from {marts}.daily_latency"
        found = query_rows(warehouse, query, "usage_date", "duration_ms_p95")
        latencies = {row["usage_date"]: row["duration_ms_p95"] for row in found}
    days = [{**day, "duration_ms_p95": latencies.get(day["usage_date"])} for day in days]
    columns = (
        *("window_days", "last_date", "requests", "cost_usd", "error_rate", "duration_ms_p95", "active_users"),
        *("projection_days", "projected_month_cost_usd"),
    )
    windows, models = [], []
    if "usage_summary" in built:
        query = f"select {', '.join(columns)} from {marts}.usage_summary where period = 'current' order by window_days"
        windows = query_rows(warehouse, query, *columns)
    if "daily_costs_by_model" in built:
        query = (
            f"select provider, model, {costs} from {marts}.daily_costs_by_model group by provider, model"
            " order by coalesce(sum(cost_usd), 0) desc, sum(requests) desc, model"
        )
        models = query_rows(warehouse, query, "provider", "model", *names)
    return Summary(
        totals=totals,
        models=models,
        days=days,
        windows=windows,
        months=_months(days, windows[0]["last_date"]) if windows else [],
    )


def _months(days: Rows, last: dt.date) -> Rows:
    """The requests and the cost of the month of `last`, up to that day, and of the whole month before it.

    Neither begins before the first day with requests.
    """
    months = []
    first = last.replace(day=1)
    for begin, end in ((first, last), ((first - dt.timedelta(days=1)).replace(day=1), first - dt.timedelta(days=1))):
        within = [day for day in days if begin <= day["usage_date"] <= end]
        costs = [day["cost_usd"] for day in within if day["cost_usd"] is not None]
        if within:
            months.append(
                {
                    "first_date": max(begin, days[0]["usage_date"]),
                    "last_date": end,
                    "requests": sum(day["requests"] for day in within),
                    "cost_usd": sum(costs, Decimal(0)) if costs else None,
                }
            )
    return months


def status(warehouse: Warehouse, target: Target, *, loads: int) -> Status:
    """Reads the state of the last `loads` loads, the last build, and the pending loads."""
    raw, marts = target.raw_schema, target.marts_schema
    complete = f"(select load_id from {raw}._dlt_loads where status = 0)"
    events, newest, last = warehouse.query(
        f"select count(*), max(occurred_at), max(loaded_at) from {raw}.events where _dlt_load_id in {complete}"
    )[0]
    pending = ""
    if "loads" in warehouse.tables(marts):
        processed = f"select load_id from {marts}.loads where load_status in ('processed', 'repaired')"
        pending = f" and _dlt_load_id not in ({processed})"
    return Status(
        events=events,
        # without rows, max() is NULL in some warehouses and 1970 in others
        newest_event_at=newest if events else None,
        last_loaded_at=last if events else None,
        loads=query_rows(
            warehouse,
            "select _dlt_load_id, max(loaded_at), count(*), sum(lines_read), sum(lines_landed), sum(lines_skipped),"
            f" sum(lines_rejected) from {raw}.loaded_files where _dlt_load_id in {complete}"
            f" group by _dlt_load_id order by max(loaded_at) desc, _dlt_load_id desc limit {loads}",
            *("load_id", "loaded_at", "files", "read", "landed", "skipped", "rejected"),
        ),
        rejects=query_rows(
            warehouse,
            f"select reason, count(*), min(source_file) from {raw}.rejected_lines where _dlt_load_id in {complete}"
            " group by reason order by count(*) desc, reason",
            *("reason", "lines", "first_file"),
        ),
        omitted=_omitted(warehouse, raw, complete),
        pending=warehouse.query(
            f"select count(distinct _dlt_load_id) from {raw}.loaded_files where _dlt_load_id in {complete}{pending}"
        )[0][0],
        orphaned=sum(
            warehouse.query(f"select count(*) from {raw}.{table} where _dlt_load_id not in {complete}")[0][0]
            for table in ("events", "rejected_lines")
        ),
        samples=samples(warehouse, target),
        has_undone=has_undone_loads(warehouse, target),
        last_build=_last_build(warehouse, target),
    )


def full_refresh_reason(warehouse: Warehouse, target: Target) -> Literal["undone loads", "version"] | None:
    """The reason why the marts need a full refresh; None if they do not exist or if a build can update them.

    "undone loads": they contain rows of loads that were undone. "version": an earlier version built them, or their last
    full refresh did not finish. The models use the same rules and stop the build of such marts.
    """
    if has_undone_loads(warehouse, target):
        return "undone loads"
    built = warehouse.tables(target.marts_schema)
    if "llm_requests" not in built:
        return None
    refreshed = _full_refresh_id(warehouse, target, built)
    oldest = _batch_id(warehouse, "min", f"{target.marts_schema}.llm_requests") or refreshed
    return "version" if oldest < refreshed or not refreshed else None


def has_undone_loads(warehouse: Warehouse, target: Target) -> bool:
    """Whether the marts contain rows of loads that were undone. Queries the requests only if there was an undo."""
    raw, marts = target.raw_schema, target.marts_schema
    undone = _batch_id(warehouse, "max", f"{raw}.undone_loads") if "undone_loads" in warehouse.tables(raw) else 0
    built = warehouse.tables(marts) if undone else {}
    if "llm_requests" not in built or not (refreshed := _full_refresh_id(warehouse, target, built)):
        return False
    return undone > min(refreshed, _batch_id(warehouse, "min", f"{marts}.llm_requests") or refreshed)


def _full_refresh_id(warehouse: Warehouse, target: Target, built: Mapping[str, set[str]]) -> int:
    """The batch_id of the last full refresh; 0 if it is not recorded."""
    return _batch_id(warehouse, "min", f"{target.marts_schema}.build_settings") if "build_settings" in built else 0


def _batch_id(warehouse: Warehouse, function: str, table: str) -> int:
    # without rows, it is NULL in some warehouses and 0 in others
    return int(warehouse.query(f"select {function}(batch_id) from {table}")[0][0] or 0)


def samples(warehouse: Warehouse, target: Target) -> int:
    """The number of sample rows in complete loads."""
    raw = target.raw_schema
    if "is_sample" not in warehouse.tables(raw).get("loaded_files", set()):
        return 0
    query = (
        f"select sum(lines_landed) from {raw}.loaded_files where is_sample"
        f" and _dlt_load_id in (select load_id from {raw}._dlt_loads where status = 0)"
    )
    return int(warehouse.query(query)[0][0] or 0)


def _last_build(warehouse: Warehouse, target: Target) -> dict[str, Any] | None:
    names = ("started_at", "finished_at", "version", "target", "is_successful", "failures", "warnings", "messages")
    query = f"select {', '.join(names)} from {target.raw_schema}.builds order by finished_at desc limit 1"
    for build in query_rows(warehouse, query, *names):
        return {**build, "messages": json.loads(build["messages"])}
    return None


def rejects(warehouse: Warehouse, target: Target, *, reason: str | None, limit: int | None) -> Rows:
    """The rejected lines of complete loads, newest load first. `bytes` is the unchanged line."""
    raw = target.raw_schema
    condition = f"and reason = {warehouse.literal(reason)}" if reason else ""
    rows = query_rows(
        warehouse,
        "select source_file, source_line, source_offset, source_format, reason, loaded_at, line, line_base64"
        f" from {raw}.rejected_lines where _dlt_load_id in (select load_id from {raw}._dlt_loads where status = 0)"
        f" {condition} order by loaded_at desc, source_file, source_line {f'limit {limit}' if limit else ''}",
        "file",
        "line",
        "offset",
        "format",
        "reason",
        "loaded_at",
        "text",
        "base64",
    )
    for row in rows:
        text, encoded = row.pop("text"), row.pop("base64")
        row["bytes"] = base64.b64decode(encoded) if encoded else (text or "").encode()
    return rows


def _omitted(warehouse: Warehouse, raw: str, complete: str) -> Rows:
    """The number of lines with values that were left out, by key and reason."""
    return query_rows(
        warehouse,
        f"select key, reason, sum(lines) from {raw}.omitted_values where _dlt_load_id in {complete}"
        " group by key, reason order by sum(lines) desc, key, reason",
        *("key", "reason", "lines"),
    )


def query_rows(warehouse: Warehouse, query: str, *names: str) -> Rows:
    """The rows of a query, as dictionaries with these names. Sums of integers are integers."""

    def plain(name: str, value: Any) -> Any:
        # some warehouses return decimals for sums of integers
        return int(value) if isinstance(value, Decimal) and not name.endswith("_usd") else value

    return [
        {name: plain(name, value) for name, value in zip(names, row, strict=True)} for row in warehouse.query(query)
    ]
