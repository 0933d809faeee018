"""Builds and tests the marts of a target with dbt, and records the result."""

import contextlib
import datetime as dt
import json
from dataclasses import dataclass, field
from typing import Any

from tokenmart import __version__
from tokenmart.dbt_runner import DbtRun, OnMessage, OnNode, run_dbt
from tokenmart.destinations import advice, connect
from tokenmart.errors import TokenmartError
from tokenmart.inputs import Inputs, LastBuild, Reusable, inputs_of, newest_batch_id
from tokenmart.locks import Check
from tokenmart.profile import Target, check_variables
from tokenmart.settings import USER_SEEDS, user_seeds

BUILT = {"success", "pass"}
FAILED = {"error", "fail", "runtime error"}
ROW_LENGTH = 200
FULL_REFRESH = "tokenmart build --full-refresh"
"""The command in the error messages of models whose rows were built with other settings or another version."""
SEED_CHECKS = {f"assert_{seed}_are_valid": seed for seed in USER_SEEDS}
"""The data tests that find wrong rows in the seeds that users fill."""
LOAD_ID_COLUMNS = ("_dlt_load_id", "load_id")
WITHOUT_UNIT_TESTS = ["--exclude-resource-type", "unit_test"]
"""Unit tests test the project, not the data."""
WITHOUT_VIEWS = ["--exclude", "config.materialized:view", "--indirect-selection", "empty"]
"""The data tests of views still run, because their data changes."""


@dataclass
class Build:
    """The result of a build: the number of models (including seeds) and data tests by outcome, and a line for each
    failure and warning.

    `unchanged_since` is the time (UTC) of the last build if dbt did not run because nothing has changed since then.
    `unrecorded` is the reason why the build could not be written to the table `builds`.
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
    unchanged_since: Any = None
    unrecorded: str | None = None

    @property
    def outcome(self) -> str:
        """The number of models and tests by outcome, as text."""
        models = [f"{self.models} {'models and seeds' if self.models != 1 else 'model or seed'}"]
        models += [f"{self.models_failed} failed"] if self.models_failed else []
        models += [f"{self.models_skipped} skipped"] if self.models_skipped else []
        return f"{', '.join(models)}; {self.tests_outcome}"

    @property
    def tests_outcome(self) -> str:
        """The number of tests by outcome, as text."""
        tests = [f"{self.tests} {'tests' if self.tests != 1 else 'test'} passed"]
        tests += [f"{self.tests_failed} failed"] if self.tests_failed else []
        tests += [f"{len(self.warnings)} warned"] if self.warnings else []
        tests += [f"{self.tests_skipped} skipped"] if self.tests_skipped else []
        return ", ".join(tests)


def build(
    target: Target,
    *,
    full_refresh: bool,
    last: LastBuild | None,
    reused: set[Reusable],
    on_node: OnNode,
    on_message: OnMessage,
    check: Check,
) -> Build:
    """Builds the seeds, models and data tests of the project, and records the build in the table `builds`.

    `reused` is what the build `last` has left and this one does not build again; a full refresh builds everything.
    Raises TokenmartError if dbt cannot start, and UsageError for variables that dbt would ignore. If `check` raises,
    no more nodes run, and the build raises the same error.
    """
    check_variables(target.project_folder)
    reused = set() if full_refresh else reused
    arguments = ["build", *WITHOUT_UNIT_TESTS, *_selection(target)]
    arguments += WITHOUT_VIEWS if "views" in reused else []
    arguments += ["--full-refresh"] if full_refresh else []
    arguments += ["--exclude-resource-type", "seed"] if "prices" in reused else []
    started_at, inputs = dt.datetime.now(dt.UTC), inputs_of(target)
    try:
        run = run_dbt(target, arguments, on_node=on_node, on_message=on_message, check=check)
    except TokenmartError as error:
        _record(target, started_at, inputs, Build(failures=[str(error)]))
        raise
    built = _build_result(target, run)
    tables = {result.node.name for result in run.results if str(result.node.resource_type) == "model"}
    if last and "views" in reused:
        tables |= last.tables
    _record(target, started_at, {**inputs, "tables": sorted(tables)}, built)
    return built


def audit(target: Target, *, on_node: OnNode, on_message: OnMessage, check: Check) -> Build:
    """Runs the data tests on all dates. Raises TokenmartError and UsageError as `build` does."""
    check_variables(target.project_folder)
    arguments = ["test", *WITHOUT_UNIT_TESTS, *_selection(target)]
    return _build_result(target, run_dbt(target, arguments, on_node=on_node, on_message=on_message, check=check))


def _selection(target: Target) -> list[str]:
    return ["--select", "package:tokenmart", *user_seeds(target.project_folder)] if target.is_package else []


def _build_result(target: Target, run: DbtRun) -> Build:
    """The counts of a dbt run, and a line for each failure and warning."""
    done = Build(seconds=run.seconds)
    for result in run.results:
        _add_result(done, str(result.node.resource_type), str(result.status))
        name, row = result.node.name, run.rows.get(result.node.unique_id)
        message = f"{name}: {_first_lines(result.message)}"
        if row:
            message += "; for example " + ", ".join(f"{column}={value}" for column, value in row.items())[:ROW_LENGTH]
        if result.status in FAILED:
            done.failures.append(message)
            done.hint = done.hint or _hint(target, name, result.message or "", row or {})
        elif result.status == "warn":
            done.warnings.append(message)
    return done


def _add_result(done: Build, kind: str, status: str) -> None:
    what = "tests" if kind == "test" else "models" if kind in ("model", "seed") else None
    suffix = "" if status in BUILT else "_failed" if status in FAILED else "_skipped" if status == "skipped" else None
    if what and suffix is not None:
        setattr(done, what + suffix, getattr(done, what + suffix) + 1)


def _hint(target: Target, node: str, message: str, row: dict[str, Any]) -> str | None:
    again = f"tokenmart build --full-refresh{target.option}"
    if row.get("times") == 0:
        # a request is missing from the marts, but its event was landed correctly
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
    if seed := SEED_CHECKS.get(node):
        return (
            f"Correct the row in seeds/{seed}.csv, or in the table that the variable {seed} names. Then run tokenmart"
            f" build{target.option}."
        )
    if "out of sync" in message:
        return f"The table was built by an older version. To rebuild it: {again}"
    if row or node.startswith("assert_") or FULL_REFRESH in message:
        return f"To rebuild everything from the raw events: {again}"
    return advice(target, message)


def _record(target: Target, started_at: dt.datetime, inputs: Inputs, done: Build) -> None:
    """Records the result of a build, for `tokenmart status` and for the next build."""
    try:
        with connect(target) as warehouse:
            done.location = warehouse.location

            def time(moment: dt.datetime) -> str:
                return warehouse.timestamp.format(moment.isoformat(sep=" ", timespec="microseconds"))

            newest = newest_batch_id(warehouse, target, warehouse.tables(target.marts_schema))
            values = {
                "started_at": time(started_at),
                "finished_at": time(dt.datetime.now(dt.UTC)),
                "version": warehouse.literal(__version__),
                "target": warehouse.literal(target.name),
                "is_successful": str(not done.failures).lower(),
                "failures": str(len(done.failures)),
                "warnings": str(len(done.warnings)),
                "messages": warehouse.literal(json.dumps({"failures": done.failures, "warnings": done.warnings})),
                "inputs": warehouse.literal(json.dumps({**inputs, "batch_id": newest})),
                # a build does not belong to a load
                "_dlt_load_id": "''",
            }
            warehouse.query(
                f"insert into {target.raw_schema}.builds ({', '.join(values)}) values ({', '.join(values.values())})"
            )
    except TokenmartError as error:
        done.unrecorded = str(error)


def _first_lines(message: str | None) -> str:
    lines = [line.strip() for line in (message or "").splitlines() if line.strip()]
    if FULL_REFRESH in (message or ""):
        # the model raised the error on purpose, so its name and line do not help
        lines = [line for line in lines if not line.startswith(("Compilation Error in", ">"))]
    # dbt lists the columns of a broken contract in a table
    columns = [line for line in lines[4:] if line.startswith("|") and "---" not in line]
    return " ".join(lines[:4] + columns)
