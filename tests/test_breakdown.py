"""`tokenmart costs` and `tokenmart errors` add up the daily marts exactly, on every engine."""

import datetime as dt
import io
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

import pytest

from targets import SERVED, Engine, engine
from tokenmart.breakdown import COSTS, ERRORS, Breakdown, Grouping, break_down
from tokenmart.breakdown_view import show_breakdown
from tokenmart.destinations import connect
from tokenmart.errors import TokenmartError, UsageError
from tokenmart.screen import Screen

MONEY = {"bigquery": "bignumeric"}
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")
COLUMNS = ("usage_date", "requests", "unpriced_requests", *TOKENS, "cost_usd")
# a Sunday, the Monday after it, and a Sunday of the next month
DAYS = (
    ("2026-10-04", 1, 0, 100, 10, None, 5, "12345678901234.000000000001"),
    ("2026-10-05", 2, 2, 50, None, None, 1, None),
    ("2026-11-01", 3, 1, 7, 0, None, 0, "0.000420000000"),
)
MODELS = (
    (*DAYS[0][:-1], "1", "a", "m1"),
    (*DAYS[1][:-1], "2", "a", "m1"),
    (*DAYS[1][:-1], None, "b", "m2"),
    (*DAYS[2][:-1], "3", "b", "m3"),
)
FAILURES = (("2026-10-04", 10, 1, 0, "a", "m1"), ("2026-11-01", 5, 0, 2, "b", "m2"))
TYPES = (("2026-10-04", 1, 1, 0, "rate", "slow down"), ("2026-11-01", 2, 0, 2, "timeout", "unattributed"))


def create(on: Engine, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Creates a mart with these rows."""
    text = "String" if on.name == "clickhouse" else "string" if on.name == "bigquery" else "varchar"
    whole = "Int64" if on.name == "clickhouse" else "int64" if on.name == "bigquery" else "bigint"
    kinds = {"usage_date": "date", "cost_usd": MONEY.get(on.name, "decimal(38, 12)")}
    kinds |= dict.fromkeys(("provider", "model", "error_type", "error_message"), text)

    def value(name: str, item: Any) -> str:
        kind = kinds.get(name, whole)
        if on.name == "clickhouse" and item is None:
            kind = f"Nullable({kind})"
        return f"cast({'null' if item is None else repr(str(item))} as {kind}) as {name}"

    selects = " union all ".join(
        f"select {', '.join(value(name, item) for name, item in zip(columns, row, strict=True))}" for row in rows
    )
    layout = "engine = MergeTree order by tuple() " if on.name == "clickhouse" else ""
    on.query(f"create table {{marts}}.{table} {layout}as {selects}")


@pytest.fixture(scope="module", params=["duckdb", *SERVED])
def on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A warehouse with four marts of a few rows."""
    with engine(request.param, tmp_path_factory.mktemp(request.param)) as started:
        kind = "database" if request.param == "clickhouse" else "schema"
        started.query(f"create {kind} if not exists {{marts}}")
        create(started, "daily_costs", COLUMNS, DAYS)
        create(started, "daily_costs_by_model", (*COLUMNS, "provider", "model"), MODELS)
        failures = ("usage_date", "requests", "errors", "timeouts", "provider", "model")
        create(started, "daily_errors_by_model", failures, FAILURES)
        types = ("usage_date", "failed_requests", "errors", "timeouts", "error_type", "error_message")
        create(started, "daily_errors_by_type", types, TYPES)
        yield started


def found(on: Engine, groupings: Mapping[str, Grouping], by: str, **dates: Any) -> Breakdown:
    with on.chosen(), connect(on.target, to_read=True) as warehouse:
        return break_down(warehouse, on.target, groupings, by, **dates)


def values(rows: Sequence[Mapping[str, Any]], *names: str) -> list[tuple[Any, ...]]:
    return [tuple(row[name] for name in names) for row in rows]


def test_costs_are_added_up_exactly(on: Engine) -> None:
    weeks = found(on, COSTS, "week")
    assert values(weeks.rows, "week_start", "requests", "cost_usd") == [
        (dt.date(2026, 9, 28), 1, Decimal("12345678901234.000000000001")),
        (dt.date(2026, 10, 5), 2, None),
        (dt.date(2026, 10, 26), 3, Decimal("0.00042")),
    ]
    months = found(on, COSTS, "month")
    assert values(months.rows, "month_start", *COLUMNS[1:]) == [
        (dt.date(2026, 10, 1), 3, 2, 150, 10, None, 6, Decimal("12345678901234.000000000001")),
        (dt.date(2026, 11, 1), 3, 1, 7, 0, None, 0, Decimal("0.00042")),
    ]
    whole = (6, 3, 157, 10, None, 6, Decimal("12345678901234.000420000001"))
    assert values([weeks.totals, months.totals], *COLUMNS[1:]) == [whole, whole]
    assert all(type(value) in (int, Decimal, type(None)) for value in months.totals.values())
    # 3 for three requests each, and an unknown cost for two
    models = found(on, COSTS, "model")
    assert values(models.rows, "provider", "model", "requests", "cost_usd") == [
        ("a", "m1", 3, Decimal(3)),
        ("b", "m3", 3, Decimal(3)),
        ("b", "m2", 2, None),
    ]


def test_dates_limit_the_rows(on: Engine) -> None:
    first, second, last = (dt.date.fromisoformat(str(day[0])) for day in DAYS)
    limits: list[tuple[dict[str, Any], tuple[dt.date, dt.date], int]] = [
        ({}, (first, last), 6),
        ({"since": "2026-10-05"}, (second, last), 5),
        ({"until": "2026-10-31"}, (first, second), 3),
        ({"last_days": 28}, (second, last), 5),
        ({"last_days": 27}, (dt.date(2026, 10, 6), last), 3),
        ({"last_days": 1, "until": "2026-10-31"}, (second, second), 2),
    ]
    for dates, between, requests in limits:
        breakdown = found(on, COSTS, "day", **dates)
        assert (breakdown.first_date, breakdown.last_date) == between, dates
        assert breakdown.totals["requests"] == requests == sum(row["requests"] for row in breakdown.rows), dates
    with pytest.raises(TokenmartError, match="There are no requests from 2026-12-01"):
        found(on, COSTS, "day", since="2026-12-01")
    with pytest.raises(UsageError, match="--until 2026-01-01 is before --since 2026-01-02"):
        found(on, COSTS, "day", since="2026-01-02", until="2026-01-01")


def test_errors_are_counted_by_model_and_type(on: Engine) -> None:
    models = found(on, ERRORS, "model")
    assert values(models.rows, "model", "requests", "errors", "timeouts") == [("m2", 5, 0, 2), ("m1", 10, 1, 0)]
    assert values([models.totals], "requests", "errors", "timeouts") == [(15, 1, 2)]
    types = found(on, ERRORS, "type", since="2026-10-31")
    assert values(types.rows, "error_type", "error_message", "failed_requests") == [("timeout", "unattributed", 2)]
    assert types.totals == {"requests": 5, "errors": 0, "timeouts": 2}


def test_a_mart_that_is_not_built_is_named(on: Engine) -> None:
    with pytest.raises(TokenmartError, match="There is no table daily_costs_by_user in the schema"):
        found(on, COSTS, "user")


def test_the_table_has_totals_rates_and_the_number_of_hidden_rows() -> None:
    day = dt.date(2026, 10, 4)
    rows = [{"provider": "a", "model": f"[m{n}]", "requests": 8, "errors": n, "timeouts": 0} for n in (3, 2, 1)]
    totals = {"requests": 24, "errors": 6, "timeouts": 0}
    screen = Screen(file=io.StringIO(), width=80)
    measures = ("requests", "errors", "timeouts")
    show_breakdown(screen, Breakdown("model", ("provider", "model"), measures, day, day, rows, totals), limit=2)
    shown = screen.file.getvalue().splitlines()
    assert shown[0].strip() == "2026-10-04 to 2026-10-04"
    assert [line.split() for line in shown[1:5]] == [
        ["provider", "and", "model", "requests", "errors", "timeouts", "error", "rate", "timeout", "rate"],
        ["a/[m3]", "8", "3", "0", "37.5%", "0.0%"],
        ["a/[m2]", "8", "2", "0", "25.0%", "0.0%"],
        ["total", "24", "6", "0", "25.0%", "0.0%"],
    ]
    assert shown[5].startswith("1 more row; to print all")
