"""`tokenmart costs` and `tokenmart errors`: figures of the marts by period or dimension."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from tokenmart.breakdown import COSTS, ERRORS, PERIODS, break_down
from tokenmart.breakdown_view import show_breakdown
from tokenmart.commands.options import as_json, command
from tokenmart.commands.shared import DONE, console, open_loaded
from tokenmart.errors import UsageError
from tokenmart.screen import print_csv, print_json

if TYPE_CHECKING:
    from tokenmart.profile import Target

SHOWN_ROWS = 20


class Days(click.ParamType[int]):
    """A number of days, such as 7d or 4w."""

    name = "days"

    def convert(self, value: Any, _parameter: click.Parameter | None, _context: click.Context | None) -> int:
        """The number of days. Fails if the value is not one."""
        found = re.fullmatch(r"([1-9][0-9]{0,3})([dw])", str(value))
        if not found:
            self.fail(f"{value} is not a number of days. Use a whole number with d or w, such as 7d.")
        return int(found[1]) * {"d": 1, "w": 7}[found[2]]


def _breakdown_options(choices: list[str]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Adds the options of the commands that print a breakdown."""

    def decorate(function: Callable[..., int]) -> Callable[..., int]:
        for option in reversed(
            [
                click.option(
                    "--by", default="day", type=click.Choice(choices), show_default=True, help="What the rows are."
                ),
                click.option("--since", metavar="DATE", help="First date, in the reporting time zone."),
                click.option("--until", metavar="DATE", help="Last date, in the reporting time zone."),
                click.option(
                    "--last",
                    "last_days",
                    type=Days(),
                    help="Only these days, up to the last one with requests.",
                ),
                click.option(
                    "--limit",
                    type=click.IntRange(1),
                    help=f"Maximum number of rows; by default {SHOWN_ROWS}, but all periods, and all in JSON and CSV.",
                ),
                as_json,
                click.option("--csv", "is_csv", is_flag=True, help="Print CSV, without totals."),
            ]
        ):
            function = option(function)
        return function

    return decorate


@command("tokenmart costs --by model --last 7d")
@_breakdown_options(list(COSTS))
def costs(target: Target, **options: Any) -> int:
    """Show what requests cost, by day, week, month, model, user, team, project, application, session or tag.

    Weeks begin on Monday. Tokens in include cached tokens. A request with several tags is in several rows.
    """
    return _show(target, COSTS, **options)


@command("tokenmart errors --by type --since 2026-10-01")
@_breakdown_options(list(ERRORS))
def errors(target: Target, **options: Any) -> int:
    """Show how many requests failed, by day, week, month, model or type of error.

    A timeout is counted separately; it is not an error.
    """
    return _show(target, ERRORS, **options)


def _show(
    target: Target, groupings: Any, by: str, limit: int | None, *, is_json: bool, is_csv: bool, **dates: Any
) -> int:
    if is_json and is_csv:
        raise UsageError("--json and --csv cannot be used together.")
    if dates["since"] and dates["last_days"]:
        raise UsageError("--since and --last cannot be used together.")
    with open_loaded(target) as warehouse:
        found = break_down(warehouse, target, groupings, by, **dates)
    if is_json:
        print_json(found)
    elif is_csv:
        columns = (*found.keys, *found.measures)
        print_csv(columns, [[row[name] for name in columns] for row in found.rows[:limit]])
    else:
        show_breakdown(console, found, limit or (None if by in PERIODS else SHOWN_ROWS))
    return DONE
