"""The marts of a project after its time zone and its prices have changed, and a full refresh."""

import csv
import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

import pytest

from conftest import Mart, copy_project, tokenledger
from marts import Row, Tables, by_day, one, run, tables, total


@dataclass(frozen=True)
class Changed:
    """The marts of one project: in Shanghai's time zone, with a new price, and then in India's time zone."""

    shanghai: Tables
    repriced: Tables
    kolkata: Tables


def set_time_zone(project: Path, zone: str) -> None:
    path = project / "dbt_project.yml"
    text, count = re.subn("reporting_time_zone: .*", f"reporting_time_zone: {zone}", path.read_text())
    assert count == 1
    path.write_text(text)


def change_seed(project: Path, name: str, change: Callable[[Row], list[Row]]) -> None:
    """Replaces every row of a seed by the result of `change`."""
    path = project / "seeds" / f"{name}.csv"
    with path.open() as file:
        rows = list(csv.DictReader(file))
    with path.open("w") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(new for row in rows for new in change(row))


def with_a_free_model(row: Row) -> list[Row]:
    if (row["provider"], row["model"]) != ("openai", "gpt-4o-mini") or row.get(
        "service_tier", "standard"
    ) != "standard":
        return [row]
    prices = {name: "0" for name in row if name.endswith("_usd_per_million")}
    name = {"model_pattern": "acme-free-%"} if "model_pattern" in row else {}
    return [row, {**row, "provider": "acme", "model": "acme-free", **name, **prices}]


def doubled_on_the_fourth(row: Row) -> list[Row]:
    if (row["provider"], row["model"], row["service_tier"]) != ("openai", "gpt-4o-mini", "standard"):
        return [row]
    prices = {name: str(2 * Decimal(row[name])) for name in row if name.endswith("_usd_per_million") and row[name]}
    return [{**row, "valid_to": "2026-10-04"}, {**row, **prices, "valid_from": "2026-10-04"}]


@pytest.fixture(scope="module")
def changed(make_mart: Callable[[str], Mart]) -> Changed:
    mart = make_mart("changed")
    project = copy_project(mart.folder / "project")
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
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_TARGET_PATH", str(mart.folder / "dbt"))
        set_time_zone(project, "Asia/Shanghai")
        for name in ("model_names", "model_prices"):
            change_seed(project, name, with_a_free_model)
        run(mart, "load", mart.folder / "ledger.jsonl", "--project-dir", project)
        run(mart, "build", "--project-dir", project)
        shanghai = tables(mart)

        change_seed(project, "model_prices", doubled_on_the_fourth)
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
    # six requests at 0.00021, one at twice that, and a free one
    assert sums == {(8, Decimal("0.00168"))}


def test_a_later_price_does_not_change_earlier_days(changed: Changed) -> None:
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
