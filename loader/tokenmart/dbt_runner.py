"""Runs dbt in this process and collects the results of its nodes."""

import contextlib
import gc
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
from tokenmart.profile import Target, failure_reason

QUIET = ["--log-level", "none"]
OnNode = Callable[[str, int, int], None]
"""Called when a node starts, with its description, its number (from 1) and the number of nodes."""
OnMessage = Callable[[str], None]
"""Called with each message that a macro logs."""


@dataclass(frozen=True)
class DbtRun:
    """The results of a dbt run: its duration in seconds, the result of each node, and one failing row per data test.

    `rows` has the failing row, or None if it cannot be read, by the unique_id of each test that failed or warned.
    """

    seconds: float
    results: Sequence[Any]
    rows: dict[str, dict[str, Any] | None] = field(default_factory=dict)


class DbtStartError(TokenmartError):
    """dbt could not start."""


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """dbt keeps most of the many objects that it creates: to search them for cycles takes time and frees little."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_without_garbage_collection()
def run_dbt(
    target: Target, arguments: Sequence[str], *, on_node: OnNode, on_message: OnMessage, check: Check
) -> DbtRun:
    """Runs dbt with these arguments for a target.

    Raises DbtStartError if dbt cannot start. If `check` raises, no more nodes run, and the same error is raised.
    """
    from dbt.artifacts.schemas.run import RunExecutionResult
    from dbt.cli.main import dbtRunner

    check_errors: list[TokenmartError] = []
    problems: list[str] = []

    def handle_event(event: Any) -> None:
        if event.info.name == "LogStartLine":
            check_errors.extend([] if check_errors else _check_error(check))
            if check_errors:
                # dbt reports an error in this callback as a failure of the node
                raise check_errors[0]
            on_node(event.data.description, event.data.index, event.data.total)
        elif event.info.name == "JinjaLogInfo":
            on_message(event.data.msg)
        elif event.info.level == "error" and event.info.msg:
            problems.append(event.info.msg)

    options = [*QUIET, *_artifact_options(), *target.dbt_options]
    with contextlib.chdir(target.data_folder), contextlib.redirect_stdout(io.StringIO()):
        outcome = dbtRunner(callbacks=[handle_event]).invoke([*arguments, *options])
        results = outcome.result.results if isinstance(outcome.result, RunExecutionResult) else []
        rows = {result.node.unique_id: _failing_row(result) for result in results if _has_rows(result)}
    close_dbt_connections()
    for check_error in check_errors or _check_error(check):
        raise check_error
    if not isinstance(outcome.result, RunExecutionResult):
        reason = failure_reason(str(outcome.exception) if outcome.exception else "\n".join(problems))
        hint = None if "Compilation Error" in reason else "Run dbt debug in the folder of the project."
        raise DbtStartError(f"dbt could not start: {reason}", hint)
    return DbtRun(outcome.result.elapsed_time, results, rows)


def _artifact_options() -> list[str]:
    """dbt takes seconds to write manifest.json and run_results.json, so it does that only on request."""
    return [] if "DBT_WRITE_JSON" in os.environ else ["--no-write-json"]


@contextmanager
def background_parsing(target: Target) -> Iterator[Callable[[], object]]:
    """Parses the project in another process if dbt has not parsed it before. Yields a function that waits for it.

    Parsing a project for the first time takes longer than most builds. The process only writes dbt's cache, so its
    errors are ignored: the build reports them. The process ends with the context.
    """
    cache = Path(os.environ.get("DBT_TARGET_PATH", target.data_folder / "target")) / "partial_parse.msgpack"
    if target.is_package or (target.data_folder / cache).exists():
        yield lambda: None
        return
    code = "import gc; gc.disable(); from dbt.cli.main import cli; cli()"
    command = [sys.executable, "-c", code, "parse", *QUIET, *_artifact_options(), *target.dbt_options]
    no_output: Any = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.DEVNULL)
    process = subprocess.Popen(command, cwd=target.data_folder, **no_output)
    try:
        yield process.wait
    finally:
        process.kill()
        process.wait()


def close_dbt_connections() -> None:
    """Closes the connections that dbt leaves open, because they prevent others from opening an embedded database."""
    from dbt.adapters.factory import FACTORY, reset_adapters

    for adapter in FACTORY.adapters.values():
        getattr(adapter.ConnectionManager, "close_all_connections", lambda: None)()
    reset_adapters()  # type: ignore[no-untyped-call]


def _check_error(check: Check) -> list[TokenmartError]:
    """The error that `check` raises, if any."""
    try:
        check()
    except TokenmartError as error:
        return [error]
    return []


def _has_rows(result: Any) -> bool:
    return str(result.node.resource_type) == "test" and str(result.status) in ("fail", "warn")


def _failing_row(result: Any) -> dict[str, Any] | None:
    """One of the rows that make a data test fail; None if it cannot be read."""
    from dbt.adapters.factory import FACTORY

    adapter: Any
    for adapter in FACTORY.adapters.values():
        # the row is optional: the failure is also reported without it
        with contextlib.suppress(Exception), adapter.connection_named("tokenmart_row"):
            _, table = adapter.execute(
                f"select * from ({result.node.compiled_code}\n) as failing_rows limit 1", fetch=True
            )
            for values in table.rows:
                return {name.lower(): value for name, value in zip(table.column_names, values, strict=True)}
    return None
