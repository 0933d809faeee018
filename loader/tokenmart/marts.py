"""Checks tables of the marts before commands read them, and dates and names that users give."""

import datetime as dt
import re
from collections.abc import Mapping, Sequence

from tokenmart.destinations import Warehouse
from tokenmart.errors import TokenmartError, UsageError
from tokenmart.profile import Target

FIRST_DAY, LAST_DAY = dt.date(2000, 1, 1), dt.date(2099, 12, 31)
"""The dates that requests can have."""


def check_marts(warehouse: Warehouse, target: Target, needed: Mapping[str, Sequence[str]]) -> None:
    """Raises TokenmartError if the marts schema lacks one of these tables or columns."""
    built = warehouse.tables(target.marts_schema)
    for table, columns in needed.items():
        if table not in built:
            raise TokenmartError(
                f"There is no table {table} in the schema {target.marts_schema}.",
                f"To build the marts: tokenmart build{target.option}",
            )
        if not set(columns) <= built[table]:
            raise TokenmartError(
                f"The table {table} was built by an older version.",
                f"To rebuild the marts: tokenmart build --full-refresh{target.option}",
            )


def check_dates(dates: Mapping[str, str | None]) -> dict[str, dt.date]:
    """The dates (yyyy-mm-dd) of options such as --since, by option, without those that are None.

    Raises UsageError if one is not a date that requests can have, or if --until is before --since.
    """
    days = {option: _day(option, text) for option, text in dates.items() if text is not None}
    if "--since" in days and "--until" in days and days["--until"] < days["--since"]:
        raise UsageError(f"--until {dates['--until']} is before --since {dates['--since']}.")
    return days


def _day(option: str, text: str) -> dt.date:
    try:
        day = dt.date.fromisoformat(text) if re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text) else None
    except ValueError:
        day = None
    if day is None:
        raise UsageError(f"{option} {text} is not a date.", "Write a date such as 2026-01-31.")
    if not FIRST_DAY <= day <= LAST_DAY:
        raise UsageError(f"{option} {text} is not between {FIRST_DAY} and {LAST_DAY}.")
    return day


def is_text(text: str) -> bool:
    """Whether a warehouse can store the text. An argument can also have bytes that are not UTF-8."""
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)
