"""Opens the warehouse of a target: a module of this package per type, each all that the loader knows of it."""

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from dbt_common.dataclass_schema import ValidationError
from dbt_common.exceptions import DbtBaseException

from loader.errors import TokenmartError
from loader.locks import Check, OnWait
from loader.profile import EXAMPLE, Target

MESSAGE_LENGTH = 400
TYPES = ("duckdb", "postgres", "clickhouse", "bigquery", "snowflake")

Query = Callable[[str], list[tuple[Any, ...]]]
"""Runs a statement and returns its rows."""


@dataclass(frozen=True)
class Warehouse:
    """An open warehouse, and what the loader needs to know of its kind."""

    destination: Any
    """dlt's."""
    query: Query
    location: str
    """What people call it."""
    tables: Callable[[str], dict[str, set[str]]]
    """The tables of a schema with the names of their columns, in lower case; none where there is no such schema."""
    create_schema: Callable[[str], object]
    """Makes a schema where it is missing."""
    dataset: str
    """What dlt is to call the raw schema."""
    lay_out: Callable[[str], object] = lambda schema: None
    """Gives the tables of the raw schema the indexes and partitions that they lack."""
    hints: Mapping[str, Mapping[str, dict[str, Any]]] = field(default_factory=dict)
    """What dlt is to know more of columns, by table and name."""
    table_hints: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What dlt is to know more of tables, by name."""
    buckets: tuple[str, ...] = ()
    """Protocols of the buckets that it takes files from."""
    version: str = "select version()"
    """Asks for the server's version."""
    literal: Callable[[str], str] = lambda text: "'" + text.replace("'", "''") + "'"
    """A text as SQL."""
    timestamp: str = "'{}'"
    """A time (ISO 8601 with its offset) as SQL that can be inserted."""
    trials: tuple[str, ...] = (
        "create table {} as select 1 as id",
        "insert into {} select 2 as id",
        "delete from {} where id = 2",
        "create view {}_view as select id from {}",
        "drop view {}_view",
        "drop table {}",
    )
    """Statements that only a login can run that may load and build, for a table whose name is to be filled in."""
    foreign_tables: str = ""
    """Asks which tables of a schema this login may not change, although it may create others."""
    grants: str = ""
    """How others get to read the marts of a schema, and keep it."""


@contextmanager
def connect(target: Target, *, to_read: bool = False) -> Iterator[Warehouse]:
    """Opens the target's warehouse; what its driver raises, then or later, becomes a TokenmartError with advice.

    With `to_read` an embedded database is opened in such a way that others can read it at the same time.
    """
    with _in_words(target) as module:
        open_warehouse = getattr(module, "connect_to_read", module.connect) if to_read else module.connect
        with open_warehouse(target) as warehouse:
            yield warehouse


@contextmanager
def lock(target: Target, job: Literal["load", "build"], on_wait: OnWait) -> Iterator[Check]:
    """Holds the target's lock for loads (one per raw schema) or for builds (one per schema of marts).

    It is a lock of the warehouse: loads and builds of other machines, profiles and checkouts wait for it, as this one
    does, after it has told `on_wait` who has the lock. Yields a function that raises TokenmartError if the lock has
    been lost.
    """

    def tell(who: str) -> None:
        on_wait(f"Another job uses the target {target.name} ({who}). This one waits for it to end.")

    with _in_words(target) as module, module.lock(target, job, tell) as check:
        yield check


@contextmanager
def _in_words(target: Target) -> Iterator[Any]:
    """The module of the target's type; what its driver raises becomes a TokenmartError."""
    module = _module(target)
    try:
        yield module
    except module.ERRORS as error:
        message = in_one_line(error)
        raise TokenmartError(f"The target {target.name} failed: {message}", advice(target, error)) from error


def in_one_line(error: BaseException) -> str:
    """What an error says, without line breaks, and not longer than people read."""
    message = " ".join(str(error).split()) or type(error).__name__
    return message if len(message) <= MESSAGE_LENGTH else f"{message[:MESSAGE_LENGTH]}..."


def credentials(target: Target, kind: Any) -> Any:
    """dbt's own credentials of that kind, checked as dbt checks them. Raises TokenmartError for what dbt refuses."""
    settings = {key: value for key, value in target.settings.items() if key not in ("type", "threads")}
    try:
        settings = kind.translate_aliases(settings)
        kind.validate(settings)
        return kind.from_dict(settings)
    except (DbtBaseException, ValidationError) as error:
        message = str(getattr(error, "message", None) or getattr(error, "msg", error))
        hint = advice(target, message) or f"See {EXAMPLE}."
        raise TokenmartError(f"dbt refuses the target {target.name}: {' '.join(message.split())}", hint) from error


def is_new(target: Target) -> bool:
    """Whether nothing can have been loaded into the target, because it does not exist yet."""
    path_of = getattr(_module(target), "path", None)
    return path_of is not None and not path_of(target).exists()


def advice(target: Target, error: BaseException | str) -> str | None:
    """What to do about an error of the target's warehouse, or what is said of one, where that is known."""
    module = _module(target)
    message = getattr(module, "said", str)(error)
    hints: dict[str, str] = module.ADVICE
    return next((hint for pattern, hint in hints.items() if re.search(pattern, message, re.IGNORECASE)), None)


def lease_of(target: Target, job: str) -> str:
    """The name of the table that holds the lease of such a job."""
    return "load_lease" if job == "load" else f"build_lease_{target.marts_schema.lower()}"


def listed_tables(query: Query) -> Callable[[str], dict[str, set[str]]]:
    """`Warehouse.tables` for those that have the standard's information schema."""

    def tables(schema: str) -> dict[str, set[str]]:
        return grouped(
            query(
                "select table_name, column_name from information_schema.columns"
                f" where lower(table_schema) = lower('{schema}')"
            )
        )

    return tables


def grouped(columns: list[tuple[Any, ...]]) -> dict[str, set[str]]:
    """Names of columns by their table, of (table, column)."""
    tables: dict[str, set[str]] = {}
    for table, column in columns:
        tables.setdefault(str(table).lower(), set()).add(str(column).lower())
    return tables


def missing_schema(query: Query) -> Callable[[str], object]:
    """`Warehouse.create_schema` where it takes a right to ask even for one that is there."""

    def create(schema: str) -> None:
        if not query(f"select 1 from information_schema.schemata where lower(schema_name) = lower('{schema}')"):
            query(f"create schema {schema}")

    return create


def escaped_literal(text: str) -> str:
    """`Warehouse.literal` for those in which a backslash escapes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def _module(target: Target) -> Any:
    if target.type not in TYPES:
        raise TokenmartError(
            f"The target {target.name} is of type {target.type}, which the loader cannot load into.",
            f"It loads into {', '.join(TYPES)}.",
        )
    try:
        return importlib.import_module(f"loader.destinations.{target.type}")
    except ModuleNotFoundError as error:
        raise TokenmartError(
            f"The target {target.name} is of type {target.type}, whose packages are not installed ({error.name}).",
            f"Install them: pip install --editable '.[{target.type}]'",
        ) from error
