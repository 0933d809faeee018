"""`tokenmart status`: shows the last loads and the last build."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from tokenmart.commands.options import as_json, command
from tokenmart.commands.shared import DONE, console, open_loaded
from tokenmart.screen import print_json
from tokenmart.views import show_status

if TYPE_CHECKING:
    from tokenmart.profile import Target


@command("tokenmart status --json")
@click.option("--loads", default=5, type=click.IntRange(1), show_default=True, help="Maximum number of loads to list.")
@as_json
def status(target: Target, loads: int, is_json: bool) -> int:
    """Show the last loads, the last build, and the rejected lines.

    Also shows how recent the data is, and the number of samples and of loads that are not in the marts yet.
    """
    from tokenmart import report

    with open_loaded(target) as warehouse:
        state = report.status(warehouse, target, loads=loads)
        location = warehouse.location
    if is_json:
        print_json({**dataclasses.asdict(state), "location": location})
    else:
        show_status(console, state, location, target)
    return DONE
