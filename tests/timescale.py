"""Helpers for the tests of TimescaleDB: requests of 28 days, and dbt with variables."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from conftest import as_lines, tokenledger
from targets import Engine, engine

ALL_ON = {"columnstore_after_days": 30, "retention_days": 3650, "live_usage": True}


@contextmanager
def with_requests(name: str, folder: Path) -> Iterator[Engine]:
    """The warehouse of this name, with 56 loaded requests: two on each day from the 1st to the 28th of October 2026."""
    with engine(name, folder / "engine") as warehouse:
        load(warehouse, *(request_on(f"e{number}", number % 28 + 1) for number in range(56)))
        yield warehouse


def request_on(event_id: str, day: int, **fields: Any) -> dict[str, Any]:
    return tokenledger(event_id, f"2026-10-{day:02}T12:00:00Z", **fields)


def load(on: Engine, *events: dict[str, Any]) -> None:
    """Appends these events to a log and loads it."""
    path = on.folder / "log.jsonl"
    with path.open("ab") as log:
        log.write(as_lines(*events))
    on.run("load", path)


def dbt(on: Engine, *arguments: str, **variables: Any) -> str:
    """Runs dbt, by default `dbt build`; returns the SQL that it compiled or ran for the last node."""
    arguments = arguments or ("build", "--exclude-resource-type", "unit_test")
    result = on.dbt(*arguments, "--vars", json.dumps(variables))
    return str(result.results[-1].node.compiled_code).strip()
