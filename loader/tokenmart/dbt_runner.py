"""Runs dbt in this process and collects the results of its nodes."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenmart.errors import TokenmartError
from tokenmart.locks import Check
from tokenmart.profile import Target, reason_of

QUIET = ["--log-level", "none"]
OnNode = Callable[[str, int, int], None]
"""Called when a node starts, with its description, its number and the number of nodes."""


@dataclass(frozen=True)
class DbtRun:
    """The results of dbt's nodes. `rows` has one row that a failed data test found, by the id of the test."""

    seconds: float
    results: Sequence[Any]
    rows: dict[str, dict[str, Any] | None] = field(default_factory=dict)


class DbtStartError(TokenmartError):
    """dbt could not start."""


def run_dbt(target: Target, arguments: Sequence[str], *, on_node: OnNode, check: Check) -> DbtRun:
    """Runs dbt with these arguments for a target.

    Raises DbtStartError if dbt cannot start. When `check` raises, no further node runs, and its error is raised.
    """
    from dbt.artifacts.schemas.run import RunExecutionResult
    from dbt.cli.main import dbtRunner

    losses: list[TokenmartError] = []
    problems: list[str] = []

    def observe(event: Any) -> None:
        if event.info.name == "LogStartLine":
            losses.extend([] if losses else _loss(check))
            if losses:
                # dbt fails the node
                raise losses[0]
            on_node(event.data.description, event.data.index, event.data.total)
        elif event.info.level == "error" and event.info.msg:
            problems.append(event.info.msg)

    options = [*QUIET, *target.dbt_options]
    with contextlib.chdir(target.data_folder), contextlib.redirect_stdout(io.StringIO()):
        outcome = dbtRunner(callbacks=[observe]).invoke([*arguments, *options])
        results = outcome.result.results if isinstance(outcome.result, RunExecutionResult) else []
        rows = {result.node.unique_id: _row(result) for result in results if _has_rows(result)}
    disconnect()
    for loss in losses or _loss(check):
        raise loss
    if not isinstance(outcome.result, RunExecutionResult):
        reason = reason_of(str(outcome.exception) if outcome.exception else "\n".join(problems))
        hint = None if "Compilation Error" in reason else "Run dbt debug in the project's folder."
        raise DbtStartError(f"dbt could not start: {reason}", hint)
    return DbtRun(outcome.result.elapsed_time, results, rows)


@contextmanager
def background_parsing(target: Target) -> Iterator[Callable[[], object]]:
    """Parses the project in another process if dbt has not parsed it before; yields a function that waits for it.

    Parsing a project for the first time takes longer than most builds. It only fills dbt's cache in the folder of the
    target, so any error is left for the build to report. Leaving the context ends the process.
    """
    cache = Path(os.environ.get("DBT_TARGET_PATH", target.data_folder / "target")) / "partial_parse.msgpack"
    if target.is_package or (target.data_folder / cache).exists():
        yield lambda: None
        return
    command = [sys.executable, "-c", "from dbt.cli.main import cli; cli()", "parse", *QUIET, *target.dbt_options]
    silent: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    process = subprocess.Popen(command, cwd=target.data_folder, **silent)
    try:
        yield process.wait
    finally:
        process.kill()
        process.wait()


def disconnect() -> None:
    """Closes the connections that dbt left open: they would keep others out of an embedded database."""
    from dbt.adapters.factory import FACTORY, reset_adapters

    for adapter in FACTORY.adapters.values():
        getattr(adapter.ConnectionManager, "close_all_connections", lambda: None)()
    reset_adapters()  # type: ignore[no-untyped-call]


def _loss(check: Check) -> list[TokenmartError]:
    """What `check` raises, if it does."""
    try:
        check()
    except TokenmartError as error:
        return [error]
    return []


def _has_rows(result: Any) -> bool:
    return str(result.node.resource_type) == "test" and str(result.status) in ("fail", "warn")


def _row(result: Any) -> dict[str, Any] | None:
    """One of the rows that a data test found; None if it cannot be read."""
    from dbt.adapters.factory import FACTORY

    adapter: Any
    for adapter in FACTORY.adapters.values():
        # the row only helps: the failure is reported without it too
        with contextlib.suppress(Exception), adapter.connection_named("tokenmart_row"):
            _, table = adapter.execute(f"select * from ({result.node.compiled_code}\n) as found limit 1", fetch=True)
            for values in table.rows:
                return {name.lower(): value for name, value in zip(table.column_names, values, strict=True)}
    return None
