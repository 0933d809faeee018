"""Adds up the figures of the daily marts by period or dimension, for `tokenmart costs` and `tokenmart errors`."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, localcontext
from typing import Any

from tokenmart.destinations import Warehouse
from tokenmart.errors import TokenmartError
from tokenmart.marts import check_dates, check_marts
from tokenmart.profile import Target
from tokenmart.report import Rows, query_rows

EXACT_DIGITS = 80
"""More digits than any sum of amounts has: they have up to 38."""


@dataclass(frozen=True)
class Grouping:
    """A daily mart, and how its rows are added up: by `keys`, except that dates become the starts of their periods."""

    mart: str
    keys: tuple[str, ...]
    measures: tuple[str, ...]


@dataclass(frozen=True)
class Breakdown:
    """Figures of the requests from `first_date` to `last_date`, both included.

    `rows` have `keys` and `measures`: periods in their order, other keys by their largest measure first. A measure is
    None if it is unknown in every request. `totals` are the measures of all requests; a request with several tags is in
    several rows.
    """

    by: str
    keys: tuple[str, ...]
    measures: tuple[str, ...]
    first_date: dt.date
    last_date: dt.date
    rows: Rows
    totals: dict[str, Any]


_COSTS = (
    *("requests", "unpriced_requests", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"),
    "cost_usd",
)
_ERRORS = ("requests", "errors", "timeouts")
PERIODS = {"day": "usage_date", "week": "week_start", "month": "month_start"}
"""The name of the key of each period. Weeks begin on Monday."""
COSTS = {
    **dict.fromkeys(PERIODS, Grouping("daily_costs", ("usage_date",), _COSTS)),
    "model": Grouping("daily_costs_by_model", ("provider", "model"), _COSTS),
    "user": Grouping("daily_costs_by_user", ("user_id",), _COSTS),
    "team": Grouping("daily_costs_by_attribution", ("team",), _COSTS),
    "project": Grouping("daily_costs_by_attribution", ("project",), _COSTS),
    "app": Grouping("daily_costs_by_attribution", ("app_name",), _COSTS),
    "session": Grouping("daily_costs_by_session", ("session_id",), _COSTS),
    "tag": Grouping("daily_costs_by_tag", ("tag_key", "tag_value"), ("requests", "unpriced_requests", "cost_usd")),
}
ERRORS = {
    **dict.fromkeys(PERIODS, Grouping("daily_errors_by_model", ("usage_date",), _ERRORS)),
    "model": Grouping("daily_errors_by_model", ("provider", "model"), _ERRORS),
    "type": Grouping(
        "daily_errors_by_type", ("error_type", "error_message"), ("failed_requests", "errors", "timeouts")
    ),
}


def break_down(
    warehouse: Warehouse,
    target: Target,
    groupings: Mapping[str, Grouping],
    by: str,
    *,
    since: str | None = None,
    until: str | None = None,
    last_days: int | None = None,
) -> Breakdown:
    """Adds up the figures of one of the `groupings`, COSTS or ERRORS.

    `since` and `until` are dates (yyyy-mm-dd) in the reporting time zone, both included. `last_days` limits the dates
    to this number of days up to the last date with requests. Raises UsageError for an invalid date, and TokenmartError
    if the marts are not built or have no requests on these dates.
    """
    days = check_dates({"--since": since, "--until": until})
    grouping, whole = groupings[by], groupings["day"]
    check_marts(warehouse, target, {part.mart: (*part.keys, *part.measures) for part in (grouping, whole)})
    first_date, last_date = _dates(warehouse, target, whole.mart, days.get("--since"), days.get("--until"))
    if last_days:
        first_date = max(first_date, last_date - dt.timedelta(days=last_days - 1))
    condition = f"usage_date >= date '{first_date}' and usage_date <= date '{last_date}'"
    totals = _sums(warehouse, target, whole, condition, ())[0]
    rows = _sums(warehouse, target, grouping, condition, grouping.keys)
    if by in PERIODS:
        rows = _by_period(by, rows, grouping.measures)
    return Breakdown(
        by=by,
        keys=(PERIODS[by],) if by in PERIODS else grouping.keys,
        measures=grouping.measures,
        first_date=first_date,
        last_date=last_date,
        rows=rows if by in PERIODS else sorted(rows, key=lambda row: _rank(row, grouping)),
        totals=totals,
    )


def _dates(
    warehouse: Warehouse, target: Target, mart: str, since: dt.date | None, until: dt.date | None
) -> tuple[dt.date, dt.date]:
    """The first and the last date with requests, from `since` to `until`."""
    limits = (f"usage_date >= date '{since}'" if since else "", f"usage_date <= date '{until}'" if until else "")
    condition = " and ".join(filter(None, limits)) or "1 = 1"
    query = f"select count(*), min(usage_date), max(usage_date) from {target.marts_schema}.{mart} where {condition}"
    days, first, last = warehouse.query(query)[0]
    if not days:
        between = "".join((f" from {since}" if since else "", f" until {until}" if until else ""))
        raise TokenmartError(f"There are no requests{between}.", f"To load logs: tokenmart run PATH{target.option}")
    return first, last


def _sums(
    warehouse: Warehouse, target: Target, grouping: Grouping, condition: str, keys: Sequence[str]
) -> list[dict[str, Any]]:
    """The sum of each measure, by these keys."""
    columns = ", ".join([*keys, *(f"sum({measure})" for measure in grouping.measures)])
    grouped = f" group by {', '.join(keys)}" if keys else ""
    query = f"select {columns} from {target.marts_schema}.{grouping.mart} where {condition}{grouped}"
    return query_rows(warehouse, query, *keys, *grouping.measures)


def _by_period(by: str, days: Rows, measures: Sequence[str]) -> Rows:
    """The sums of each period, in the order of time."""
    periods: dict[dt.date, Rows] = {}
    for day in sorted(days, key=lambda day: day["usage_date"]):
        periods.setdefault(_start(by, day["usage_date"]), []).append(day)
    return [
        {PERIODS[by]: start, **{name: _sum(day[name] for day in period) for name in measures}}
        for start, period in periods.items()
    ]


def _start(by: str, day: dt.date) -> dt.date:
    return {"week": day - dt.timedelta(days=day.weekday()), "month": day.replace(day=1)}.get(by, day)


def _sum(values: Iterable[Any]) -> Any:
    """The sum of the values that are known; None if none is."""
    known = [value for value in values if value is not None]
    with localcontext(prec=EXACT_DIGITS):
        return sum(known[1:], known[0]) if known else None


def _rank(row: Mapping[str, Any], grouping: Grouping) -> tuple[Any, ...]:
    """Sorts rows by cost, or by failures, then by requests, then by name."""
    measures = grouping.measures
    amount = row["cost_usd"] or Decimal(0) if "cost_usd" in measures else row["errors"] + row["timeouts"]
    return (-amount, -row[measures[0]], *(row[key] for key in grouping.keys))
