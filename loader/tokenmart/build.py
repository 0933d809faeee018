"""Runs dbt for a target, in this process, and reports the result."""

import contextlib
import datetime as dt
import io
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tokenmart import __version__
from tokenmart.destinations import advice, connect
from tokenmart.errors import TokenmartError
from tokenmart.locks import Check
from tokenmart.profile import Target, check_variables, reason_of

BUILT = {"success", "pass"}
FAILED = {"error", "fail", "runtime error"}
ROW_LENGTH = 200
REFUSAL = "tokenmart build --full-refresh"
"""What the models name when they refuse to add to rows that were built otherwise."""
LOAD_ID_COLUMNS = ("_dlt_load_id", "load_id")


@dataclass
class Build:
    """What dbt did: counts of models (and seeds) and data tests by result, and a line for each failure and warning.

    `unrecorded` says why the build could not be written to the table `builds`.
    """

    models: int = 0
    models_failed: int = 0
    models_skipped: int = 0
    tests: int = 0
    tests_failed: int = 0
    tests_skipped: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    hint: str | None = None
    location: str | None = None
    unrecorded: str | None = None

    @property
    def outcome(self) -> str:
        """The counts of models and tests by result, as text."""
        models = [f"{self.models} {'models and seeds' if self.models != 1 else 'model or seed'}"]
        models += [f"{self.models_failed} failed"] if self.models_failed else []
        models += [f"{self.models_skipped} skipped"] if self.models_skipped else []
        tests = [f"{self.tests} {'tests' if self.tests != 1 else 'test'} passed"]
        tests += [f"{self.tests_failed} failed"] if self.tests_failed else []
        tests += [f"{len(self.warnings)} warned"] if self.warnings else []
        tests += [f"{self.tests_skipped} skipped"] if self.tests_skipped else []
        return f"{', '.join(models)}; {', '.join(tests)}"


OnNode = Callable[[str, int, int], None]
"""Called when a node starts, with its description, its number and the number of nodes."""


def build(target: Target, *, full_refresh: bool, on_node: OnNode, check: Check) -> Build:
    """Builds the seeds, models and data tests of the project, and records the build in the table `builds`.

    Raises TokenmartError if dbt cannot start, and UsageError for variables that dbt would ignore. When `check` raises,
    no further node runs, and the build ends with that error. Unit tests are left out: they test the project, not the
    data, and `make test` runs them.
    """
    from dbt.artifacts.schemas.run import RunExecutionResult
    from dbt.cli.main import dbtRunner

    losses: list[TokenmartError] = []

    def tell(event: Any) -> None:
        if event.info.name == "LogStartLine":
            losses.extend([] if losses else _loss(check))
            if losses:
                # dbt fails the node
                raise losses[0]
            on_node(event.data.description, event.data.index, event.data.total)
        elif event.info.level == "error" and event.info.msg:
            problems.append(event.info.msg)

    check_variables(target.project_folder)
    problems: list[str] = []
    arguments = [
        "build",
        "--exclude-resource-type",
        "unit_test",
        "--log-level",
        "none",
        *target.dbt_options,
    ]
    arguments += ["--full-refresh"] if full_refresh else []
    arguments += ["--select", "package:tokenmart"] if target.is_package else []
    started_at = dt.datetime.now(dt.UTC)
    with contextlib.chdir(target.data_folder), contextlib.redirect_stdout(io.StringIO()):
        outcome = dbtRunner(callbacks=[tell]).invoke(arguments)
        results = outcome.result.results if isinstance(outcome.result, RunExecutionResult) else []
        rows = {result.node.unique_id: _row(result) for result in results if _has_rows(result)}
    disconnect()
    for loss in losses or _loss(check):
        _record(target, started_at, Build(failures=[str(loss)]))
        raise loss
    if not isinstance(outcome.result, RunExecutionResult):
        reason = reason_of(str(outcome.exception) if outcome.exception else "\n".join(problems))
        _record(target, started_at, Build(failures=[f"dbt could not start: {reason}"]))
        hint = None if "Compilation Error" in reason else "Run dbt debug in the project's folder."
        raise TokenmartError(f"dbt could not start: {reason}", hint)
    done = Build(seconds=outcome.result.elapsed_time)
    for result in results:
        _count(done, str(result.node.resource_type), str(result.status))
        name, row = result.node.name, rows.get(result.node.unique_id)
        message = f"{name}: {_first_lines(result.message)}"
        if row:
            message += "; for example " + ", ".join(f"{column}={value}" for column, value in row.items())[:ROW_LENGTH]
        if result.status in FAILED:
            done.failures.append(message)
            done.hint = done.hint or _advice(target, name, result.message or "", row or {})
        elif result.status == "warn":
            done.warnings.append(message)
    _record(target, started_at, done)
    return done


def _loss(check: Check) -> list[TokenmartError]:
    """What `check` raises, if it does."""
    try:
        check()
    except TokenmartError as error:
        return [error]
    return []


def _count(done: Build, kind: str, status: str) -> None:
    what = "tests" if kind == "test" else "models" if kind in ("model", "seed") else None
    suffix = "" if status in BUILT else "_failed" if status in FAILED else "_skipped" if status == "skipped" else None
    if what and suffix is not None:
        setattr(done, what + suffix, getattr(done, what + suffix) + 1)


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


def _advice(target: Target, node: str, message: str, row: dict[str, Any]) -> str | None:
    again = f"tokenmart build --full-refresh{target.option}"
    if row.get("times") == 0:
        # a request is missing: what was landed is right
        return f"To rebuild everything from the raw events: {again}"
    for column in LOAD_ID_COLUMNS:
        if load_id := row.get(column):
            return f"The row came from this load. To delete the load: tokenmart undo {load_id}{target.option}"
    if event_id := row.get("event_id"):
        with contextlib.suppress(TokenmartError), connect(target) as warehouse:
            query = (
                f"select _dlt_load_id from {target.raw_schema}.events where event_id ="
                f" {warehouse.literal(str(event_id))} order by loaded_at desc limit 1"
            )
            for (load_id,) in warehouse.query(query):
                return f"The row came from load {load_id}. To delete the load: tokenmart undo {load_id}{target.option}"
    if "out of sync" in message:
        return f"The table was built by an older version. To rebuild it: {again}"
    if row or node.startswith("assert_") or REFUSAL in message:
        return f"To rebuild everything from the raw events: {again}"
    return advice(target, message)


def _record(target: Target, started_at: dt.datetime, done: Build) -> None:
    """Records the result of a build for `tokenmart status`."""
    try:
        with connect(target) as warehouse:
            done.location = warehouse.location

            def time(moment: dt.datetime) -> str:
                return warehouse.timestamp.format(moment.isoformat(sep=" ", timespec="microseconds"))

            values = {
                "started_at": time(started_at),
                "finished_at": time(dt.datetime.now(dt.UTC)),
                "version": warehouse.literal(__version__),
                "target": warehouse.literal(target.name),
                "is_successful": str(not done.failures).lower(),
                "failures": str(len(done.failures)),
                "warnings": str(len(done.warnings)),
                "messages": warehouse.literal(json.dumps({"failures": done.failures, "warnings": done.warnings})),
                # a build belongs to no load
                "_dlt_load_id": "''",
            }
            warehouse.query(
                f"insert into {target.raw_schema}.builds ({', '.join(values)}) values ({', '.join(values.values())})"
            )
    except TokenmartError as error:
        done.unrecorded = str(error)


def disconnect() -> None:
    """Closes the connections that dbt left open: they would keep others out of an embedded database."""
    from dbt.adapters.factory import FACTORY, reset_adapters

    for adapter in FACTORY.adapters.values():
        getattr(adapter.ConnectionManager, "close_all_connections", lambda: None)()
    reset_adapters()  # type: ignore[no-untyped-call]


def _first_lines(message: str | None) -> str:
    lines = [line.strip() for line in (message or "").splitlines() if line.strip()]
    if REFUSAL in (message or ""):
        # the models refuse on purpose: no line of a model is at fault
        lines = [line for line in lines if not line.startswith(("Compilation Error in", ">"))]
    return " ".join(lines[:4])
