"""DuckDB: a file, in which one program at a time writes."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from loader.destinations import Warehouse, listed_tables, missing_schema
from loader.errors import TokenmartError
from loader.profile import Target

LOAD_MEMORY = "256MB"  # DuckDB's own default is most of the machine
LOCK_SECONDS = 10
ERRORS = (duckdb.Error,)
ADVICE = {"could not set lock": "Close it in the other program; give a BI tool a copy of the file."}


def path(target: Target) -> Path:
    """The target's file; its name is ':memory:' where there is none."""
    return target.project_folder / str(target.settings.get("path", ":memory:"))


@contextmanager
def connect(target: Target) -> Iterator[Warehouse]:
    """Opens the file, for which it waits a while if another program has it."""
    import dlt

    connection = _opened(target)
    try:
        connection.execute("set timezone = 'UTC'; set preserve_insertion_order = false")

        def query(sql: str) -> list[tuple[Any, ...]]:
            rows: list[tuple[Any, ...]] = connection.cursor().execute(sql).fetchall()
            return rows

        yield Warehouse(
            destination=dlt.destinations.duckdb(connection, create_indexes=False),
            query=query,
            location=str(path(target)),
            tables=listed_tables(query),
            create_schema=missing_schema(query),
            dataset=target.raw_schema,
        )
    finally:
        connection.close()


def _opened(target: Target) -> Any:
    file = path(target)
    if file.name == ":memory:":
        raise TokenmartError("The target keeps its DuckDB in memory: nothing would remain.", "Give it a path.")
    if not file.parent.is_dir():
        raise TokenmartError(f"{file}: there is no such folder.", "Create it, or set TOKENMART_DUCKDB_PATH.")
    config = {**target.settings.get("config_options", {}), "memory_limit": LOAD_MEMORY}
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return duckdb.connect(str(file), config=config)
        except duckdb.IOException as error:
            if "Could not set lock" not in str(error):
                raise TokenmartError(f"{file} cannot be opened: {error}") from error
            if time.monotonic() > deadline:
                raise TokenmartError(
                    f"{file} is open in another program, and DuckDB lets one at a time write.",
                    f"Close it there; give a BI tool a copy: cp {file} copy.duckdb",
                ) from error
            time.sleep(0.5)
        except duckdb.Error as error:
            raise TokenmartError(f"{file} is not a DuckDB file that can be opened: {error}") from error
