"""Runs dbt for a target, in this process, and says how it went."""

import contextlib
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from loader.destinations import advice
from loader.errors import TokenmartError
from loader.profile import Target

BUILT = {"success", "pass"}
FAILED = {"error", "fail", "runtime error"}


@dataclass
class Build:
    """What dbt did: how many nodes came out how, and for those that failed or warned a line that says why."""

    models: int = 0
    tests: int = 0
    seconds: float = 0.0
    failures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    hint: str | None = None


OnNode = Callable[[str, int, int], None]
"""Is told the description of the node that starts, its number and the number of nodes."""


def build(target: Target, *, full_refresh: bool, on_node: OnNode) -> Build:
    """Builds seeds, models and data tests of the project. Raises TokenmartError where dbt cannot even begin.

    Unit tests are left out: they test the project, not the data, and `make test` runs them.
    """
    from dbt.artifacts.schemas.run import RunExecutionResult
    from dbt.cli.main import dbtRunner

    def tell(event: Any) -> None:
        if event.info.name == "LogStartLine":
            on_node(event.data.description, event.data.index, event.data.total)
        elif event.info.level == "error" and event.info.msg:
            problems.append(event.info.msg)

    problems: list[str] = []
    arguments = [
        "build",
        "--exclude-resource-type",
        "unit_test",
        "--target",
        target.name,
        "--log-level",
        "none",
    ]
    arguments += ["--project-dir", str(target.project_folder), "--profiles-dir", str(target.profiles_folder)]
    arguments += ["--full-refresh"] if full_refresh else []
    with contextlib.chdir(target.project_folder), contextlib.redirect_stdout(io.StringIO()):
        outcome = dbtRunner(callbacks=[tell]).invoke(arguments)
    _disconnect()
    if not isinstance(outcome.result, RunExecutionResult):
        reason = str(outcome.exception) if outcome.exception else "\n".join(problems)
        raise TokenmartError(f"dbt could not begin: {reason.strip()}", "Try dbt debug in the project's folder.")
    done = Build(seconds=outcome.result.elapsed_time)
    for result in outcome.result.results:
        done.tests += str(result.node.resource_type) == "test"
        done.models += str(result.node.resource_type) in ("model", "seed")
        if result.status in FAILED:
            done.failures.append(f"{result.node.name}: {_first_lines(result.message)}")
            done.hint = done.hint or _advice(target, result.node.name, result.message or "")
        elif result.status == "warn":
            done.warnings.append(f"{result.node.name}: {_first_lines(result.message)}")
    return done


def _advice(target: Target, node: str, message: str) -> str | None:
    again = f"tokenmart build --full-refresh{target.option}"
    if node.startswith("assert_"):
        return f"If a variable of dbt_project.yml was changed, build everything anew: {again}"
    if "out of sync" in message:
        return f"It was built by an older version. Build it anew: {again}"
    return advice(target, message)


def _disconnect() -> None:
    """Closes what dbt left open: an embedded database lets nobody else in until then."""
    from dbt.adapters.factory import FACTORY, reset_adapters

    for adapter in FACTORY.adapters.values():
        getattr(adapter.ConnectionManager, "close_all_connections", lambda: None)()
    reset_adapters()  # type: ignore[no-untyped-call]


def _first_lines(message: str | None) -> str:
    lines = [line.strip() for line in (message or "").splitlines() if line.strip()]
    return " ".join(lines[:4])
