"""`tokenmart build`: builds and tests the marts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from tokenmart.commands.options import as_json, command
from tokenmart.commands.shared import (
    DONE,
    FAILED,
    console,
    failed_build,
    locations,
    notify,
    open_loaded,
    progress_bar,
    report_sharing,
)
from tokenmart.screen import print_json
from tokenmart.views import show_build

if TYPE_CHECKING:
    from tokenmart.build import Build
    from tokenmart.profile import Target


@command("tokenmart build --target duckdb")
@click.option("--full-refresh", is_flag=True, help="Rebuild everything from the raw events, and test everything.")
@click.option("--force", is_flag=True, help="Run dbt even if nothing has changed; build the views too.")
@as_json
def build(target: Target, full_refresh: bool, force: bool, is_json: bool) -> int:
    """Build and test the marts with dbt.

    Builds and tests what has changed, or everything with --full-refresh. Does nothing if there are no new events and
    neither the project, its variables, the prices nor the date have changed since the last successful build.
    """
    report_sharing(target)
    built = build_marts(target, full_refresh=full_refresh, is_forced=force, is_quiet=is_json)
    if is_json:
        reason = failed_build(built) if built.failures else {}
        print_json({**dataclasses.asdict(built), **locations(target, built.location), **reason})
    return FAILED if built.failures else DONE


def build_marts(
    target: Target,
    *,
    full_refresh: bool = False,
    is_forced: bool = False,
    is_quiet: bool,
    before_dbt: Callable[[], object] = lambda: None,
) -> Build:
    """Builds the marts if anything has changed, and prints the result unless `is_quiet`.

    Calls `before_dbt` before dbt starts. Raises TokenmartError if nothing has been loaded, and as
    `tokenmart.build.build` does.
    """
    from tokenmart.destinations import is_new
    from tokenmart.report import nothing_loaded

    if is_new(target):
        raise nothing_loaded(target)
    built = None if full_refresh or is_forced else _unchanged(target)
    if not built:
        before_dbt()
        built = _run_dbt(target, full_refresh, is_forced, is_quiet=is_quiet)
    if not is_quiet:
        show_build(console, built, target)
    return built


def _unchanged(target: Target) -> Build | None:
    """The result of a build without changes; None if a build is needed."""
    from tokenmart.build import Build
    from tokenmart.inputs import is_current, last_build

    with open_loaded(target) as warehouse:
        last = last_build(warehouse, target)
        if last and is_current(warehouse, target, last):
            return Build(unchanged_since=last.finished_at, location=warehouse.location)
    return None


def _run_dbt(target: Target, full_refresh: bool, is_forced: bool, *, is_quiet: bool) -> Build:
    from tokenmart.build import build as run_dbt
    from tokenmart.destinations import lock
    from tokenmart.inputs import changed_time_zone, last_build, reusable
    from tokenmart.report import has_undone_loads

    with progress_bar(is_quiet, "{task.description}") as progress, lock(target, "build", notify) as check:
        with open_loaded(target) as warehouse:
            if not full_refresh and has_undone_loads(warehouse, target):
                full_refresh = True
                notify("Loads were undone since the marts were built: rebuilding everything.")
            if not full_refresh and (zone := changed_time_zone(warehouse, target)):
                full_refresh = True
                notify(
                    f"The dates in the marts are those of {zone}, not of reporting_time_zone: rebuilding everything."
                )
            last = last_build(warehouse, target)
            reused = reusable(warehouse, target, last)
            if is_forced:
                reused.discard("views")
        task = progress.add_task("dbt", total=None, rate="")

        def show_node(description: str, index: int, total: int) -> None:
            progress.update(task, description=description, completed=index, total=total)

        return run_dbt(
            target,
            full_refresh=full_refresh,
            last=last,
            reused=reused,
            on_node=show_node,
            on_message=notify,
            check=check,
        )
