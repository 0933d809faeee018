"""`tokenmart query`: prints the result of the user's own query on the marts."""

from __future__ import annotations

import sys
from itertools import islice
from typing import TYPE_CHECKING

import click

from tokenmart.commands.options import as_json, command
from tokenmart.commands.shared import DONE, console, notify
from tokenmart.errors import UsageError
from tokenmart.screen import counted, print_csv, print_json, show_rows

if TYPE_CHECKING:
    from tokenmart.destinations import Answer
    from tokenmart.profile import Target

TABLE_LIMIT = 100


@command("tokenmart query 'select usage_date, cost_usd from daily_costs order by usage_date'")
@click.argument("sql")
@click.option(
    "--limit",
    type=click.IntRange(1),
    help=f"Maximum number of rows to print; by default {TABLE_LIMIT}, or all with --json, --csv or --focus.",
)
@as_json
@click.option(
    "--csv", "is_csv", is_flag=True, help="Print CSV. NULL is empty, and control characters are escaped, such as \\x1b."
)
@click.option(
    "--focus",
    "is_focus",
    is_flag=True,
    help="Print rows of focus_costs as CSV, with the column names and the date format of FOCUS, and with Tags.",
)
def query(target: Target, sql: str, limit: int | None, is_json: bool, is_csv: bool, is_focus: bool) -> int:
    """Print the result of a select statement on the marts.

    The session is read-only. Table names do not need a schema. '-' reads the statement from standard input.
    """
    from tokenmart.destinations import is_new, select
    from tokenmart.focus import focus_table
    from tokenmart.report import nothing_loaded
    from tokenmart.statements import select_statement

    if is_json + is_csv + is_focus > 1:
        raise UsageError("--json, --csv and --focus cannot be used together.")
    text = sys.stdin.read() if sql == "-" else sql
    statement = select_statement(text, target.type)
    if is_new(target):
        raise nothing_loaded(target)
    with select(target, statement) as answer:
        if is_json:
            rows = list(islice(answer.rows, limit))
            left_out = _left_out(answer, len(rows))
            print_json({"rows": [dict(zip(_names(answer), row, strict=True)) for row in rows], "left_out": left_out})
        elif is_csv or is_focus:
            table = focus_table(answer.columns, answer.rows) if is_focus else (answer.columns, answer.rows)
            printed = print_csv(table[0], islice(table[1], limit))
            if left_out := _left_out(answer, printed):
                notify(f"{counted(left_out, 'row')} left out; raise --limit to print them.")
        else:
            rows = list(islice(answer.rows, limit or TABLE_LIMIT))
            show_rows(console, answer.columns, rows, _left_out(answer, len(rows)))
    return DONE


def _left_out(answer: Answer, printed: int) -> int:
    """The number of rows that were not printed. Runs the counting query only if there are any."""
    return 0 if next(answer.rows, None) is None else max(answer.count() - printed, 1)


def _names(answer: Answer) -> list[str]:
    """The column names. Raises UsageError if two are the same, because a JSON object can have only one of them."""
    for name in answer.columns:
        if answer.columns.count(name) > 1:
            raise UsageError(f"Several columns are named {name}.", "Give them different names: select ... as ...")
    return answer.columns
