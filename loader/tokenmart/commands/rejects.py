"""`tokenmart rejects`: lists or exports the rejected lines."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.markup import escape

from tokenmart.commands.options import as_json, command
from tokenmart.commands.shared import DONE, console, open_loaded
from tokenmart.screen import counted, print_json
from tokenmart.views import show_rejects

if TYPE_CHECKING:
    from tokenmart.profile import Target


@command("tokenmart rejects --export rejects.jsonl")
@click.option("--reason", help="List only lines that were rejected for this reason.")
@click.option(
    "--limit",
    default=20,
    type=click.IntRange(1),
    show_default=True,
    help="Maximum number of lines to list; --export always writes all of them.",
)
@click.option(
    "--export",
    type=click.Path(dir_okay=False),
    help="Write the lines, unchanged, to this file, which must not exist yet.",
)
@as_json
def rejects(target: Target, reason: str | None, limit: int, export: str | None, is_json: bool) -> int:
    """List or export the rejected lines.

    Correct the lines in the exported file, and load it like any other file.
    """
    from tokenmart import report

    with open_loaded(target) as warehouse:
        rows = report.rejects(warehouse, target, reason=reason, limit=None if export else limit)
    if export:
        # an existing file may contain lines that the user has corrected
        with Path(export).open("xb") as file:
            file.writelines(row["bytes"] + b"\n" for row in rows)
        if is_json:
            print_json({"file": export, "lines": len(rows)})
        else:
            name = escape(export)
            console.print(
                f"{counted(len(rows), 'rejected line')} written to {name}. Correct them there, then:"
                f" tokenmart load {name}{target.option}"
            )
    elif is_json:
        print_json([{**row, "bytes": row["bytes"].decode("utf-8", "replace")} for row in rows])
    else:
        show_rejects(console, rows)
    return DONE
