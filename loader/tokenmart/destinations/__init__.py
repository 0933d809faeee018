"""Opens the warehouse of a target. Each type of warehouse has a module here with all code that is specific to it."""

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
    """An open warehouse, with the functions and settings that are specific to its type."""

    destination: Callable[[], Any]
    """Creates dlt's destination. A function, because only loads need it and importing dlt takes a second."""
    query: Query
    location: str
    """Its location, as shown to users."""
    tables: Callable[[str], dict[str, set[str]]]
    """The column names of a schema by table, all in lower case; empty if the schema does not exist."""
    create_schema: Callable[[str], object]
    """Creates a schema if it does not exist."""
    dataset: str
    """dlt's name for the raw schema."""
    apply_layout: Callable[[str], object] = lambda schema: None
    """Adds missing indexes and partitions to the tables of the raw schema."""
    hints: Mapping[str, Mapping[str, dict[str, Any]]] = field(default_factory=dict)
    """Additional dlt hints, by table and column."""
    table_hints: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Additional dlt hints, by table."""
    buckets: tuple[str, ...] = ()
    """The URL protocols of the buckets that the warehouse can load files from."""
    version: str = "select version()"
    """A query that returns the version of the server."""
    literal: Callable[[str], str] = lambda text: "'" + text.replace("'", "''") + "'"
    """A text as an SQL literal."""
    timestamp: str = "'{}'"
    """A template that turns a time (ISO 8601 with offset) into an SQL expression."""
    permission_checks: tuple[str, ...] = (
        "create table {} as select 1 as id",
        "insert into {} select 2 as id",
        "delete from {} where id = 2",
        "create view {}_view as select id from {}",
        "drop view {}_view",
        "drop table {}",
    )
    """Statements that need the same permissions as loads and builds, with placeholders for a table name."""
    unowned_tables: str = ""
    """A query for the tables of a schema that this login cannot alter, because another role owns them."""
    grants: str = ""
    """How to give other roles permanent read access to the marts, with placeholders for the name of the schema."""
    check_session: Callable[[], None] = lambda: None
    """Raises TokenmartError if the statements of a connection do not all run in the same session."""


@dataclass(frozen=True)
class Answer:
    """The result of a query: the column names, an iterator over the rows, and a function that counts all rows.

    After `count` is called, `rows` may return no more rows.
    """

    columns: list[str]
    rows: Iterator[tuple[Any, ...]]
    count: Callable[[], int]


@contextmanager
def connect(target: Target, *, to_read: bool = False) -> Iterator[Warehouse]:
    """Opens the target's warehouse. Raises driver errors, also those inside the context, as TokenmartError with a hint.

    With `to_read`, an embedded database is opened read-only, so that others can read it at the same time.
    """
    with _translated_errors(target) as module:
        open_warehouse = getattr(module, "connect_to_read", module.connect) if to_read else module.connect
        with open_warehouse(target) as warehouse:
            yield warehouse


@contextmanager
def select(target: Target, sql: str) -> Iterator[Answer]:
    """Runs one select statement in a read-only session whose default schema is the marts schema.

    Raises TokenmartError with the warehouse's message if the statement fails.
    """
    with _translated_errors(target) as module, module.select(target, sql) as answer:
        yield answer


@contextmanager
def query_errors(
    target: Target, errors: tuple[type[Exception], ...], reason: Callable[[Any], str] = str
) -> Iterator[None]:
    """Raises these errors of the user's statement as TokenmartError. `reason` returns the message of an error."""
    try:
        yield
    except errors as error:
        # some engines add the statement below the message
        message = re.split(r"\n\s*LINE \d+:", reason(error))[0]
        is_unknown = re.search(r"not exist|not found|unknown|no catalog", message, re.IGNORECASE)
        hint = f"The marts are in the schema {target.marts_schema}. To build them: tokenmart build{target.option}"
        raise TokenmartError(f"The query failed: {_shortened(message)}", hint if is_unknown else None) from error


def counting(sql: str) -> str:
    """A statement that counts the rows of a select statement."""
    return f"select count(*) from (\n{sql}\n) as counted_rows"


@contextmanager
def lock(target: Target, job: Literal["load", "build"], on_wait: OnWait) -> Iterator[Check]:
    """Holds the target's lock for loads (one per raw schema) or for builds (one per marts schema).

    The lock is in the warehouse, so loads and builds wait for each other even across machines, profiles and checkouts.
    If another process holds the lock, calls `on_wait` with a message that names the holder. Yields a function that
    raises TokenmartError if the lock has been lost.
    """

    def report_holder(holder: str) -> None:
        on_wait(f"Waiting for another job on the target {target.name} to finish ({holder}).")

    with _translated_errors(target) as module, module.lock(target, job, report_holder) as check:
        yield check


@contextmanager
def _translated_errors(target: Target) -> Iterator[Any]:
    """Yields the module for the target's type. Raises errors of its driver as TokenmartError."""
    module = _module(target)
    try:
        yield module
    except module.ERRORS as error:
        message = one_line(error)
        raise TokenmartError(f"The target {target.name} failed: {message}", advice(target, error)) from error


def one_line(error: BaseException) -> str:
    """The message of an error on one line, cut to MESSAGE_LENGTH characters."""
    return _shortened(str(error)) or type(error).__name__


def _shortened(text: str) -> str:
    message = " ".join(text.split())
    return message if len(message) <= MESSAGE_LENGTH else f"{message[:MESSAGE_LENGTH]}..."


def credentials(target: Target, kind: Any) -> Any:
    """The target's credentials as dbt's class `kind`, validated by dbt. Raises TokenmartError if dbt rejects them."""
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
    """A setting of the profile as a whole number. Raises UsageError if it is not a whole number."""
    value = target.settings.get(name) or default
    try:
        return int(value)
    except (TypeError, ValueError) as error:
        raise UsageError(
            f"The target {target.name} has {name}: {value}, which is not a whole number.",
            f"Correct it in {target.profiles_folder / 'profiles.yml'}.",
        ) from error


def is_new(target: Target) -> bool:
    """Whether the target's database file does not exist yet, so nothing has been loaded into it."""
    path_of = getattr(_module(target), "path", None)
    return path_of is not None and not path_of(target).exists()


def advice(target: Target, error: BaseException | str) -> str | None:
    """The hint for an error of the target's warehouse, given as exception or text; None if there is no hint."""
    module = _module(target)
    message = getattr(module, "error_text", str)(error)
    hints: dict[str, str] = module.ADVICE
    return next((hint for pattern, hint in hints.items() if re.search(pattern, message, re.IGNORECASE)), None)


def lease_of(target: Target, job: str) -> str:
    """The name of the table that stores the lease for this kind of job."""
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
    """Groups pairs of table and column by table, in lower case."""
    tables: dict[str, set[str]] = {}
    for table, column in columns:
        tables.setdefault(str(table).lower(), set()).add(str(column).lower())
    return tables


def missing_schema(query: Query) -> Callable[[str], object]:
    """`Warehouse.create_schema` for warehouses where `if not exists` needs permission even if the schema exists."""

    def create(schema: str) -> None:
        if not query(f"select 1 from information_schema.schemata where lower(schema_name) = lower('{schema}')"):
            query(f"create schema {schema}")

    return create


def escaped_literal(text: str) -> str:
    """`Warehouse.literal` for warehouses in which backslash is the escape character."""
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
