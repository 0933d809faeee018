"""Helpers for tests that read all marts, with their rows as dictionaries."""

import datetime as dt
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

from conftest import Mart

Row = dict[str, Any]
Tables = dict[str, list[Row]]

TABLES = (
    *("llm_requests", "daily_costs", "hourly_costs", "daily_costs_by_model", "daily_costs_by_user"),
    "daily_costs_by_session",
    *("daily_costs_by_attribution", "daily_latency", "daily_latency_by_model", "daily_errors_by_model"),
    *("daily_errors_by_type", "users", "sessions", "usage_summary"),
)


def run(mart: Mart, *arguments: str | Path, code: int = 0) -> None:
    """Runs `tokenmart` on the target of a `make_mart` and checks its exit code.

    Meanwhile its DuckDB file is where dbt expects it, so that dbt does not parse the project again.
    """
    path = Path(os.environ["TOKENMART_DUCKDB_PATH"])
    path.unlink(missing_ok=True)
    if mart.path.exists():
        shutil.move(mart.path, path)
    mart.run(*arguments, code=code)
    shutil.move(path, mart.path)


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
    """The sum of a column, without its nulls."""
    return sum((row[column] for row in rows if row[column] is not None), Decimal(0))


def by_day(rows: Iterable[Row]) -> dict[dt.date, list[str]]:
    """The rows of each day, in any order."""
    days = defaultdict(list)
    for row in rows:
        days[row["usage_date"]].append(repr(row))
    return {day: sorted(rows_of_day) for day, rows_of_day in days.items()}


def values(marts: Tables, *, without_day: dt.date | None = None) -> dict[str, list[str]]:
    """The rows of the marts, in any order, without the bookkeeping of loads and runs."""
    bookkeeping = ("load_id", "loaded_at", "batch_id")
    return {
        table: sorted(
            repr([(name, value) for name, value in row.items() if name not in bookkeeping])
            for row in rows
            if without_day is None or row.get("usage_date") != without_day
        )
        for table, rows in marts.items()
    }
