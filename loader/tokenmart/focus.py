"""Rows of focus_costs as the FinOps Open Cost and Usage Specification (FOCUS) requires them in a file."""

import datetime as dt
import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

CUSTOM = "x_"
"""The prefix of columns that FOCUS does not define."""
TAGS = ("organization_id", "team", "project", "cost_center", "app_name", "environment", "feature")
"""The attribution of a charge. Each is a column of focus_costs with the prefix x_."""


def focus_table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> tuple[list[str], Iterator[list[Any]]]:
    """The columns with the names of FOCUS, and their rows with its date format.

    If any column has the attribution, Tags is added: a JSON object of the known values, or None. FOCUS's columns come
    first, in alphabetical order, then the others.
    """
    tags = {name: columns.index(CUSTOM + name) for name in TAGS if CUSTOM + name in columns}
    places: dict[str, int | None] = {focus_name(column): place for place, column in enumerate(columns)}
    if tags:
        places["Tags"] = None
    names = sorted(places, key=lambda name: (name.startswith(CUSTOM), "" if name.startswith(CUSTOM) else name))

    def values(row: Sequence[Any]) -> list[Any]:
        tagged = {name: row[place] for name, place in tags.items() if row[place] is not None}
        text = json.dumps(tagged, ensure_ascii=False) if tagged else None
        return [text if place is None else focus_value(row[place]) for place in (places[name] for name in names)]

    return names, map(values, rows)


def focus_name(column: str) -> str:
    """The name of FOCUS for a column of focus_costs: BilledCost for billed_cost, x_Team for x_team."""
    prefix = CUSTOM if column.startswith(CUSTOM) else ""
    return prefix + "".join(part.capitalize() for part in column.removeprefix(prefix).split("_"))


def focus_value(value: Any) -> Any:
    """A timestamp of the marts, which is in UTC, in the date format of FOCUS; any other value unchanged."""
    if isinstance(value, dt.datetime):
        utc = value.astimezone(dt.UTC) if value.tzinfo else value
        return f"{utc:%Y-%m-%dT%H:%M:%SZ}"
    return value
