"""`tokenmart undo`: deletes the rows that loads have landed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tokenmart.commands.build import build_marts
from tokenmart.commands.options import as_json, command
from tokenmart.commands.shared import (
    DONE,
    FAILED,
    console,
    failed_build,
    failed_step,
    locations,
    notify,
    open_loaded,
)
from tokenmart.errors import TokenmartError, UsageError
from tokenmart.screen import print_json
from tokenmart.views import show_undo

if TYPE_CHECKING:
    from tokenmart.profile import Target


@command("tokenmart undo 1763712000.123456 --yes")
@click.argument("load_ids", nargs=-1)
@click.option("--samples", is_flag=True, help="Delete the rows of sample files from all loads.")
@click.option("--no-build", is_flag=True, help="Do not rebuild the marts; the next build rebuilds them.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@as_json
def undo(target: Target, load_ids: tuple[str, ...], samples: bool, no_build: bool, yes: bool, is_json: bool) -> int:
    """Delete the rows that loads have landed, and rebuild the marts.

    tokenmart status lists the load ids. Read positions are kept: to load the same files again, use load --again.
    """
    from tokenmart.destinations import connect, lock
    from tokenmart.undo import delete, find

    if samples == bool(load_ids):
        raise UsageError("Give the ids of the loads to undo, or --samples.", f"See: tokenmart status{target.option}")
    if is_json and not yes:
        raise UsageError("With --json, the command cannot ask for confirmation.", "Add --yes.")
    with open_loaded(target) as warehouse:
        plan = find(warehouse, target, load_ids, samples=samples)
    if not yes:
        show_undo(console, plan, target, is_done=False)
        if not click.confirm("Delete these rows?", err=True):
            console.print("Nothing was deleted.")
            return FAILED
    with lock(target, "load", notify) as check, connect(target) as warehouse:
        delete(warehouse, target, plan, check)
    if not is_json:
        show_undo(console, plan, target, is_done=True)
    figures = {name: getattr(plan, name) for name in ("load_ids", "files", "events", "rejected")}
    output = {"undone": figures, **locations(target, plan.location)}
    try:
        built = None if no_build else build_marts(target, full_refresh=True, is_quiet=is_json)
    except TokenmartError as error:
        if not is_json:
            raise
        print_json({**output, **failed_step(error)})
        return error.exit_code
    if is_json:
        print_json({**output, "build": built, **(failed_build(built) if built and built.failures else {})})
    elif no_build:
        console.print(f"The marts still contain these rows. To remove them: tokenmart build{target.option}")
    return FAILED if built and built.failures else DONE
