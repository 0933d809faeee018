"""What the loader needs to know of each warehouse: how to connect, and how dlt reaches it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loader.errors import TokenmartError
from loader.profile import Target

LOAD_MEMORY = "256MB"  # DuckDB's own default is most of the machine
LOCK_SECONDS = 10


@dataclass(frozen=True)
class Warehouse:
    """An open warehouse: `destination` is dlt's, `query` runs a statement and returns its rows, `location` names it."""

    destination: Any
    query: Callable[[str], list[tuple[Any, ...]]]
    location: str

    def tables(self, schema: str) -> set[str]:
        """The names of the tables in a schema; none where there is no such schema."""
        found = self.query(f"select table_name from information_schema.tables where table_schema = '{schema}'")
        return {str(name) for (name,) in found}


@contextmanager
def connect(target: Target) -> Iterator[Warehouse]:
    """Opens the target's warehouse; raises TokenmartError in words where that fails."""
    if target.type not in _WAREHOUSES:
        raise TokenmartError(
            f"The target {target.name} is of type {target.type}, which the loader cannot load into.",
            f"It loads into {', '.join(_WAREHOUSES)}.",
        )
    with _WAREHOUSES[target.type](target) as warehouse:
        yield warehouse


def is_new(target: Target) -> bool:
    """Whether nothing can have been loaded into the target, because it does not exist yet."""
    return target.type == "duckdb" and not _path(target).exists()


def _path(target: Target) -> Path:
    return target.project_folder / str(target.settings.get("path", ":memory:"))


@contextmanager
def _duckdb(target: Target) -> Iterator[Warehouse]:
    import dlt
    import duckdb

    path = _path(target)
    if path.name == ":memory:":
        raise TokenmartError("The target keeps its DuckDB in memory: nothing would remain.", "Give it a path.")
    if not path.parent.is_dir():
        raise TokenmartError(f"{path}: there is no such folder.", "Create it, or set TOKENMART_DUCKDB_PATH.")
    config = {**target.settings.get("config_options", {}), "memory_limit": LOAD_MEMORY}
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            connection = duckdb.connect(str(path), config=config)
            break
        except duckdb.IOException as error:
            if "lock" not in str(error):
                raise TokenmartError(f"{path} cannot be opened: {error}") from error
            if time.monotonic() > deadline:
                raise TokenmartError(
                    f"{path} is open in another program, and DuckDB lets one at a time write.",
                    f"Close it there; give a BI tool a copy: cp {path} copy.duckdb",
                ) from error
            time.sleep(0.5)
        except duckdb.Error as error:
            raise TokenmartError(f"{path} is not a DuckDB file that can be opened: {error}") from error
    try:
        connection.execute("set timezone = 'UTC'; set preserve_insertion_order = false")
        yield Warehouse(
            destination=dlt.destinations.duckdb(connection, create_indexes=False),
            query=lambda sql: connection.cursor().execute(sql).fetchall(),
            location=str(path),
        )
    finally:
        connection.close()


_WAREHOUSES = {"duckdb": _duckdb}
