"""`tokenmart build`: builds and tests the marts."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import click

from tokenmart.commands.options import as_json, command
from tokenmart.commands.shared import (
    DONE,
    FAILED,
    console,
    failed_build,
    locations,
    open_loaded,
    progress_bar,
    report_sharing,
    say,
)
from tokenmart.screen import print_json, show_build

if TYPE_CHECKING:
    from tokenmart.build import Build
    from tokenmart.profile import Target


@command("tokenmart build --target duckdb")
@click.option("--full-refresh", is_flag=True, help="Rebuild everything from the raw events.")
@as_json
def build(target: Target, full_refresh: bool, is_json: bool) -> int:
    """Build and test the marts with dbt.

    Builds what has changed, or everything with --full-refresh.
    """
    report_sharing(target)
    built = build_marts(target, full_refresh, is_quiet=is_json)
    if is_json:
        reason = failed_build(built) if built.failures else {}
        print_json({**dataclasses.asdict(built), **locations(target, built.location), **reason})
    return FAILED if built.failures else DONE


def build_marts(target: Target, full_refresh: bool, *, is_quiet: bool) -> Build:
    """Builds the marts with dbt, shows how far it is, and prints what was built unless it is quiet."""
    from tokenmart.build import build as run_dbt
    from tokenmart.destinations import is_new, lock
    from tokenmart.report import nothing_loaded, stale_by

    if is_new(target):
        raise nothing_loaded(target)
    with progress_bar(is_quiet, "{task.description}") as progress, lock(target, "build", say) as check:
        with open_loaded(target) as warehouse:
            if not full_refresh and stale_by(warehouse, target) == "undone loads":
                full_refresh = True
                say("Loads were undone since the marts were built: rebuilding everything.")
        task = progress.add_task("dbt", total=None, rate="")

        def tell(description: str, index: int, total: int) -> None:
            progress.update(task, description=description, completed=index, total=total)

        built = run_dbt(target, full_refresh=full_refresh, on_node=tell, check=check)
    if not is_quiet:
        show_build(console, built, target)
    return built
