"""Opens the warehouse of a target. Each type has a module here with everything that the loader knows about it."""

import importlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from tokenmart.errors import TokenmartError, UsageError
from tokenmart.locks import Check, OnWait
from tokenmart.profile import EXAMPLE, Target, own_project

MESSAGE_LENGTH = 400
TYPES = ("duckdb", "postgres", "clickhouse", "bigquery", "snowflake")

Query = Callable[[str], list[tuple[Any, ...]]]
"""Runs a statement and returns its rows."""


@dataclass(frozen=True)
class Warehouse:
    """An open warehouse, and what the loader needs to know about its type."""

    destination: Callable[[], Any]
    """Makes dlt's destination. Only loads need it, and importing dlt takes a second."""
    query: Query
    location: str
    """Its location, as shown to users."""
    tables: Callable[[str], dict[str, set[str]]]
    """The tables of a schema with their column names, in lower case; empty if the schema does not exist."""
    create_schema: Callable[[str], object]
    """Creates a schema if it is missing."""
    dataset: str
    """dlt's name for the raw schema."""
    lay_out: Callable[[str], object] = lambda schema: None
    """Adds missing indexes and partitions to the tables of the raw schema."""
    hints: Mapping[str, Mapping[str, dict[str, Any]]] = field(default_factory=dict)
    """Additional dlt hints for columns, by table and name."""
    table_hints: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Additional dlt hints for tables, by name."""
    buckets: tuple[str, ...] = ()
    """Protocols of the buckets that it reads files from."""
    version: str = "select version()"
    """A query for the server's version."""
    literal: Callable[[str], str] = lambda text: "'" + text.replace("'", "''") + "'"
    """A text as an SQL literal."""
    timestamp: str = "'{}'"
    """A template for a time (ISO 8601 with offset) as SQL that can be inserted."""
    trials: tuple[str, ...] = (
        "create table {} as select 1 as id",
        "insert into {} select 2 as id",
        "delete from {} where id = 2",
        "create view {}_view as select id from {}",
        "drop view {}_view",
        "drop table {}",
    )
    """Statements that need the permissions of loading and building, with placeholders for a table name."""
    foreign_tables: str = ""
    """A query for the tables of a schema that this login may not alter, although it may create others."""
    grants: str = ""
    """How to let others read the marts of a schema permanently, with placeholders for its name."""
    check_session: Callable[[], None] = lambda: None
    """Raises TokenmartError if the statements of one connection do not run in one session."""


@dataclass(frozen=True)
class Answer:
    """The answer to a query: the names of its columns, its rows one by one, and a function that counts all of them.

    Counting may end the reading of rows.
    """

    columns: list[str]
    rows: Iterator[tuple[Any, ...]]
    count: Callable[[], int]


@contextmanager
def connect(target: Target, *, to_read: bool = False) -> Iterator[Warehouse]:
    """Opens the target's warehouse. Errors of its driver, now or later, become TokenmartErrors with a hint.

    With `to_read` an embedded database is opened read-only, so that others can read it at the same time.
    """
    with _in_words(target) as module:
        open_warehouse = getattr(module, "connect_to_read", module.connect) if to_read else module.connect
        with open_warehouse(target) as warehouse:
            yield warehouse


@contextmanager
def select(target: Target, sql: str) -> Iterator[Answer]:
    """Runs one select statement in a read-only session whose default schema is that of the marts.

    An error of the statement becomes a TokenmartError that says what is wrong with it.
    """
    with _in_words(target) as module, module.select(target, sql) as answer:
        yield answer


@contextmanager
def query_errors(
    target: Target, errors: tuple[type[Exception], ...], reason: Callable[[Any], str] = str
) -> Iterator[None]:
    """Makes TokenmartErrors of these errors of a statement that the user wrote; `reason` finds their message."""
    try:
        yield
    except errors as error:
        # engines quote the statement below their message
        message = re.split(r"\n\s*LINE \d+:", reason(error))[0]
        is_unknown = re.search(r"not exist|not found|unknown|no catalog", message, re.IGNORECASE)
        hint = f"The marts are tables in {target.marts_schema}. To build them: tokenmart build{target.option}"
        raise TokenmartError(f"The query failed: {_shortened(message)}", hint if is_unknown else None) from error


def counting(sql: str) -> str:
    """A statement that counts the rows of a select statement."""
    return f"select count(*) from (\n{sql}\n) as counted_rows"


@contextmanager
def lock(target: Target, job: Literal["load", "build"], on_wait: OnWait) -> Iterator[Check]:
    """Holds the target's lock for loads (one per raw schema) or for builds (one per marts schema).

    The lock is in the warehouse, so loads and builds from other machines, profiles and checkouts wait for each other.
    `on_wait` is called with the holder of the lock. Yields a function that raises TokenmartError if the lock has been
    lost.
    """

    def tell(who: str) -> None:
        on_wait(f"Waiting for another job on the target {target.name} to finish ({who}).")

    with _in_words(target) as module, module.lock(target, job, tell) as check:
        yield check


@contextmanager
def _in_words(target: Target) -> Iterator[Any]:
    """The module of the target's type. Errors of its driver become TokenmartErrors."""
    module = _module(target)
    try:
        yield module
    except module.ERRORS as error:
        message = in_one_line(error)
        raise TokenmartError(f"The target {target.name} failed: {message}", advice(target, error)) from error


def in_one_line(error: BaseException) -> str:
    """The text of an error on one line, shortened."""
    return _shortened(str(error)) or type(error).__name__


def _shortened(text: str) -> str:
    message = " ".join(text.split())
    return message if len(message) <= MESSAGE_LENGTH else f"{message[:MESSAGE_LENGTH]}..."


def credentials(target: Target, kind: Any) -> Any:
    """dbt's own credentials of that kind, validated by dbt. Raises TokenmartError if dbt rejects them."""
    from dbt_common.dataclass_schema import ValidationError
    from dbt_common.exceptions import DbtBaseException

    settings = {key: value for key, value in target.settings.items() if key not in ("type", "threads")}
    try:
        settings = kind.translate_aliases(settings)
        kind.validate(settings)
        return kind.from_dict(settings)
    except (DbtBaseException, ValidationError) as error:
        message = str(getattr(error, "message", None) or getattr(error, "msg", error))
        hint = advice(target, message) or f"See {own_project() / EXAMPLE}."
        raise TokenmartError(f"dbt rejects the target {target.name}: {' '.join(message.split())}", hint) from error


def whole_number(target: Target, name: str, default: int) -> int:
    """A setting of the profile that is a whole number. Raises UsageError for anything else."""
    value = target.settings.get(name) or default
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The target {target.name} has {name}: {value}, which is not a whole number.",
            f"Correct it in {target.profiles_folder / 'profiles.yml'}.",
        ) from error


def is_new(target: Target) -> bool:
    """Whether the target does not exist yet, so that nothing can have been loaded into it."""
    path_of = getattr(_module(target), "path", None)
    return path_of is not None and not path_of(target).exists()


def advice(target: Target, error: BaseException | str) -> str | None:
    """What to do about an error of the target's warehouse (or its text), None if unknown."""
    module = _module(target)
    message = getattr(module, "said", str)(error)
    hints: dict[str, str] = module.ADVICE
    return next((hint for pattern, hint in hints.items() if re.search(pattern, message, re.IGNORECASE)), None)


def lease_of(target: Target, job: str) -> str:
    """The name of the table with the lease of this kind of job."""
    return "load_lease" if job == "load" else f"build_lease_{target.marts_schema.lower()}"


def listed_tables(query: Query) -> Callable[[str], dict[str, set[str]]]:
    """`Warehouse.tables` for warehouses with the standard information schema."""

    def tables(schema: str) -> dict[str, set[str]]:
        return grouped(
            query(
                "select table_name, column_name from information_schema.columns"
                f" where lower(table_schema) = lower('{schema}')"
            )
        )

    return tables


def grouped(columns: list[tuple[Any, ...]]) -> dict[str, set[str]]:
    """Groups (table, column) by table."""
    tables: dict[str, set[str]] = {}
    for table, column in columns:
        tables.setdefault(str(table).lower(), set()).add(str(column).lower())
    return tables


def missing_schema(query: Query) -> Callable[[str], object]:
    """`Warehouse.create_schema` where `if not exists` needs the permission to create even if it exists."""

    def create(schema: str) -> None:
        if not query(f"select 1 from information_schema.schemata where lower(schema_name) = lower('{schema}')"):
            query(f"create schema {schema}")

    return create


def escaped_literal(text: str) -> str:
    """`Warehouse.literal` for warehouses in which a backslash escapes."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n") + "'"


def _module(target: Target) -> Any:
    if target.type not in TYPES:
        raise TokenmartError(
            f"The target {target.name} has type {target.type}, which is not supported.",
            f"Supported types are {', '.join(TYPES)}.",
        )
    try:
        return importlib.import_module(f"tokenmart.destinations.{target.type}")
    except ModuleNotFoundError as error:
        raise TokenmartError(
            f"The target {target.name} has type {target.type}, whose packages are not installed ({error.name}).",
            f"Install them: pip install 'tokenmart[{target.type}]'",
        ) from error
