"""Functions that several commands use: terminal output, parts of the JSON output, and opening the warehouse."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from tokenmart.errors import TokenmartError
from tokenmart.screen import Screen

if TYPE_CHECKING:
    from rich.progress import Progress

    from tokenmart.build import Build
    from tokenmart.destinations import Warehouse
    from tokenmart.profile import Target
    from tokenmart.results import LoadResult

DONE, FAILED, REJECTED = 0, 1, 3
"""Exit codes. REJECTED: done, but a file could not be read, or too many lines were rejected."""
console = Screen()
stderr = Screen(stderr=True)


def notify(text: str) -> None:
    """Prints a line to standard error, so that standard output has only the result."""
    stderr.print(escape(text))


def report_sharing(target: Target) -> None:
    """Prints a warning if other targets build into the same schema."""
    from tokenmart.profile import targets_sharing

    if others := targets_sharing(target):
        notify(
            f"The targets {target.name} and {', '.join(others)} build into the same schema and overwrite each other."
            " Give each target its own schema in profiles.yml.",
        )


def progress_bar(is_quiet: bool, text: str = "") -> Progress:
    """A progress bar on standard error, if that is a terminal. With `text`, it shows a build, otherwise a load."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        [TextColumn("building"), BarColumn(), TextColumn(text)]
        if text
        else [
            TextColumn("loading"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        ]
    )
    return Progress(*columns, console=stderr, transient=True, disable=is_quiet or not stderr.is_terminal)


@contextmanager
def open_loaded(target: Target) -> Iterator[Warehouse]:
    """Opens the target's warehouse for reading. First adds raw tables and columns that an older version lacks.

    Raises TokenmartError if nothing has been loaded, or if this login has no permission to add them.
    """
    from tokenmart import contract, report
    from tokenmart.destinations import connect, is_new

    if is_new(target):
        raise report.nothing_loaded(target)
    with connect(target, to_read=True) as warehouse:
        tables = warehouse.tables(target.raw_schema)
        if "loaded_files" not in tables:
            raise report.nothing_loaded(target)
        if not (missing := contract.missing(tables)):
            yield warehouse
            return
    from tokenmart.pipeline import upgrade

    try:
        upgrade(target, notify)
    except TokenmartError as error:
        raise TokenmartError(
            f"The tables in {target.raw_schema} were created by an older version. {', '.join(missing)} are missing"
            f" and could not be added: {error}",
            f"Run tokenmart status{target.option} with a login that has permission to alter the tables.",
        ) from error
    with connect(target, to_read=True) as warehouse:
        yield warehouse


def raw_location(target: Target, location: str | None) -> dict[str, Any]:
    """The target and the location of its raw tables, for JSON."""
    return {
        "target": {"name": target.name, "type": target.type},
        "location": location,
        "raw_schema": target.raw_schema,
    }


def locations(target: Target, location: str | None) -> dict[str, Any]:
    """The target and the location of its raw tables and marts, for JSON."""
    return {**raw_location(target, location), "marts_schema": target.marts_schema}


def failed_load(loaded: LoadResult) -> dict[str, Any]:
    """Why no file could be read: error, hint and exit_code, for JSON."""
    problem = next(file.problem for file in loaded.files if file.problem)
    return {"error": problem, "hint": None, "exit_code": FAILED}


def failed_build(built: Build) -> dict[str, Any]:
    """Why a build failed: error, hint and exit_code, for JSON."""
    return {"error": f"The build failed: {built.outcome}", "hint": built.hint, "exit_code": FAILED}


def failed_step(error: TokenmartError) -> dict[str, Any]:
    """Why a step failed: error, hint and exit_code, for JSON."""
    return {"error": str(error), "hint": error.hint, "exit_code": error.exit_code}
