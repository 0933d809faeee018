"""DuckDB: a file that either several programs can read or one program can write."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import duckdb

from tokenmart.destinations import Answer, Warehouse, counting, listed_tables, missing_schema, query_errors
from tokenmart.errors import TokenmartError
from tokenmart.locks import Check, OnWait, lock_file
from tokenmart.profile import Target

LOAD_LIMITS = {"memory_limit": "192MB"}  # DuckDB's default is 80% of the memory
LOCK_SECONDS = 10
FETCHED_ROWS = 1000
ERRORS = (duckdb.Error,)
ADVICE = {"could not set lock": "Close the file in the other program. Give BI tools a copy of the file."}


def path(target: Target) -> Path:
    """The target's file. Its name is ':memory:' if the profile has no path."""
    return target.data_folder / str(target.settings.get("path", ":memory:"))


@contextmanager
def connect(target: Target) -> Iterator[Warehouse]:
    """Opens the file for writing. Waits up to LOCK_SECONDS if another program has it open."""
    with _opened(target, is_read_only=False) as warehouse:
        yield warehouse


@contextmanager
def connect_to_read(target: Target) -> Iterator[Warehouse]:
    """Opens the file read-only. Waits up to LOCK_SECONDS if another program writes to it."""
    with _opened(target, is_read_only=True) as warehouse:
        yield warehouse


@contextmanager
def select(target: Target, sql: str) -> Iterator[Answer]:
    """Runs a select statement on the file, read-only, with DuckDB's own memory limit and no access to other files."""
    with closing(_connection(target, is_read_only=True, limits={})) as connection, query_errors(target, ERRORS):
        connection.execute(f"set timezone = 'UTC'; set search_path = '{target.marts_schema}'")
        # otherwise a query could write files; the second setting prevents it from changing the first
        connection.execute("set enable_external_access = false; set lock_configuration = true")
        connection.execute(sql)
        yield Answer(
            columns=[str(column[0]) for column in connection.description],
            rows=chain.from_iterable(iter(lambda: connection.fetchmany(FETCHED_ROWS), [])),
            count=lambda: int(connection.execute(counting(sql)).fetchall()[0][0]),
        )


@contextmanager
def lock(target: Target, job: str, on_wait: OnWait) -> Iterator[Check]:
    """One lock file for loads and builds, next to the database, because both write to it and open it several times."""
    # a symbolic link to the file uses the same lock
    file = _file(target).resolve()
    with lock_file(file.with_name(f"{file.name}.lock"), job, on_wait):
        yield lambda: None


@contextmanager
def _opened(target: Target, *, is_read_only: bool) -> Iterator[Warehouse]:
    with closing(_connection(target, is_read_only)) as connection:
        connection.execute("set timezone = 'UTC'; set preserve_insertion_order = false")

        def query(sql: str) -> list[tuple[Any, ...]]:
            rows: list[tuple[Any, ...]] = connection.cursor().execute(sql).fetchall()
            return rows

        yield Warehouse(
            destination=lambda: _destination(connection),
            query=query,
            location=str(path(target)),
            tables=listed_tables(query),
            create_schema=missing_schema(query),
            dataset=target.raw_schema,
        )


def _destination(connection: Any) -> Any:
    import dlt
    from dlt.common.destination.configuration import ParquetFormatConfiguration

    # DuckDB reads the file once, on the same machine
    parquet = ParquetFormatConfiguration(compression="none")
    return dlt.destinations.duckdb(connection, create_indexes=False, parquet_format=parquet)


def _file(target: Target) -> Path:
    file = path(target)
    if file.name == ":memory:":
        raise TokenmartError(
            "The target's DuckDB database is in memory, so it would be lost.", "Set a path in the profile."
        )
    if not file.parent.is_dir():
        raise TokenmartError(f"{file}: its folder does not exist.", "Create the folder, or set TOKENMART_DUCKDB_PATH.")
    return file


def _connection(target: Target, is_read_only: bool, limits: dict[str, str] = LOAD_LIMITS) -> Any:
    file = _file(target)
    config = {**target.settings.get("config_options", {}), **limits}
    deadline = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            return duckdb.connect(str(file), config=config, read_only=is_read_only)
        except duckdb.IOException as error:
            if "Could not set lock" not in str(error):
                raise TokenmartError(f"{file} cannot be opened: {error}") from error
            if time.monotonic() > deadline:
                raise _in_use(file, is_read_only) from error
            time.sleep(0.5)
        except duckdb.Error as error:
            raise TokenmartError(f"{file} cannot be opened as a DuckDB file: {error}") from error


def _in_use(file: Path, is_read_only: bool) -> TokenmartError:
    if is_read_only:
        return TokenmartError(
            f"{file} is open for writing in another program. DuckDB does not allow reading until it is closed.",
            "Try again when the load, the build or the other program has finished.",
        )
    return TokenmartError(
        f"{file} is open in another program. DuckDB can write only if no other program has it open.",
        f"Close the file there. Give BI tools a copy: cp {file} copy.duckdb",
    )
