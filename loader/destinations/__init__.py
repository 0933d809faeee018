"""Opens the warehouse of a target: a module of this package per type, each all that the loader knows of it."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from dbt_common.dataclass_schema import ValidationError
from dbt_common.exceptions import DbtBaseException

from loader.errors import TokenmartError
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
    """Gives the new tables of the raw schema what makes them fast to read."""
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
    create_table: str = "create table {} as select 1 as id"
    """Makes a table of one row, to see whether one may."""


@contextmanager
def connect(target: Target) -> Iterator[Warehouse]:
    """Opens the target's warehouse; what its driver raises, then or later, becomes a TokenmartError with advice."""
    module = _module(target)
    try:
        with module.connect(target) as warehouse:
            yield warehouse
    except module.ERRORS as error:
        message = in_one_line(error)
        raise TokenmartError(f"The target {target.name} failed: {message}", advice(target, str(error))) from error


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


def advice(target: Target, message: str) -> str | None:
    """What to do about an error of the target's warehouse, where that is known."""
    hints: dict[str, str] = _module(target).ADVICE
    return next((hint for part, hint in hints.items() if part.lower() in message.lower()), None)


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
