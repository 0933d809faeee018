"""Reads a table of a PostgreSQL database as lines of JSON, which PostgreSQL makes of its rows."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote

from tokenmart.errors import UsageError
from tokenmart.store_tables import POSTGRESQL_TABLES, StoreError, choose

if TYPE_CHECKING:
    import pyarrow as pa

CONNECT_SECONDS = 10
INSTALL = "the driver for PostgreSQL is not installed; install it: pip install 'tokenmart[stores]'"
# the password may contain any character except in the query, and is never part of a message
_URL = re.compile(
    r"postgres(?:ql)?://(?:(?P<user>[^:@/?]*)(?::(?P<password>.*))?@)?(?P<hosts>[^@/?]*)(?:/(?P<dbname>[^@/?]*))?"
    r"(?:\?(?P<query>[^@?]*))?",
    re.DOTALL,
)
_SYSTEM_SCHEMAS = "('pg_catalog', 'information_schema', 'pg_toast')"
# tables, partitioned tables and materialized views; rows of views and foreign tables have no xmin
_KINDS_WITH_XMIN = ("r", "p", "m")


@dataclass(frozen=True)
class Database:
    """A database to connect to. `name` is its URL without user, password and query. `dsn` is for libpq only."""

    name: str
    dsn: str = field(repr=False)


def parse_url(url: str) -> Database:
    """The database of a postgresql:// URL. Raises UsageError for a URL that is not valid, without quoting it."""
    found = _URL.fullmatch(url)
    if not found:
        raise UsageError(
            "The postgresql:// URL is not valid.",
            "Use postgresql://user@host:port/database, with the password in PGPASSWORD or ~/.pgpass. Encode special"
            " characters, such as @ as %40.",
        )
    hosts = [
        host.rpartition(":") if re.search(r":[^\]]*$", host) else (host, "", "") for host in found["hosts"].split(",")
    ]
    if not all(port.isdigit() or not port for _, _, port in hosts):
        raise UsageError(
            "The port in the postgresql:// URL is not a number.", "Use postgresql://user@host:port/database."
        )
    settings = {
        "host": ",".join(unquote(host).strip("[]") for host, _, _ in hosts),
        "port": ",".join(port for _, _, port in hosts) if any(port for _, _, port in hosts) else "",
        "user": unquote(found["user"] or ""),
        "password": unquote(found["password"] or ""),
        "dbname": unquote(found["dbname"] or ""),
        "connect_timeout": str(CONNECT_SECONDS),
        "application_name": "tokenmart",
        **dict(parse_qsl(found["query"] or "")),
    }
    dsn = " ".join(f"{name}={_dsn_value(value)}" for name, value in settings.items() if value)
    return Database(f"postgresql://{found['hosts']}/{found['dbname'] or ''}", dsn)


class PostgresTable:
    """A table of a PostgreSQL database, in one read transaction. See `open_table`.

    `last_time` is the latest time of a row, in microseconds since 1970, but not after now. `xmin` is the oldest
    transaction whose rows may not be visible yet, None if the rows of this table do not have their transaction.
    """

    def __init__(self, cursor: Any, wanted: str, *, keep_content: bool) -> None:
        self._cursor = cursor
        # without this, rows that are committed while the table is read would be missing or counted twice
        cursor.execute("set transaction isolation level repeatable read, read only")
        cursor.execute("set local time zone 'UTC'")
        relations, names = self._relations()
        oid, schema, relation, kind = relations.get(wanted, (0, "", "", ""))
        found: dict[str, list[str]] = {name: [] for name in names}
        if wanted in relations:
            found[wanted] = self._columns(oid)
        self.name, self.table = choose(POSTGRESQL_TABLES, found, wanted)
        self._columns_read = self.table.selected(found[wanted], keep_content=keep_content)
        self._from = f"{_quoted(schema)}.{_quoted(relation)}"
        self._time = f"source.{_quoted(self.table.time[0])}"
        self.identity = f"postgresql {self._system()} {oid}"
        snapshot = "txid_snapshot_xmin(txid_current_snapshot())"
        self.xmin = int(self._rows(f"select {snapshot}")[0][0]) if kind in _KINDS_WITH_XMIN else None
        latest = (
            f"(select max({self._time}) from {self._from} as source where {self._time} between '1970-01-01' and now())"
        )
        self.last_time = int(self._rows(f"select coalesce({_microseconds(latest)}, 0)")[0][0])

    def batches(
        self, *, since: int | None, xmin: int | None, recent: int, limit: int | None
    ) -> Iterator["pa.RecordBatch"]:
        """The rows as batches of `position`, which is the time in microseconds, `line` and `recent`.

        If `since` is given, only rows that are not older, and that no transaction before `xmin` has written. `recent`
        marks the rows that the next load will read again: those of transactions from `self.xmin`, or, if the rows do
        not have their transaction, those from the time `recent`.
        """
        is_recent = f"coalesce({self._time} >= {_timestamp(recent)}, true)"
        if self.xmin is not None:
            # compressed chunks of TimescaleDB have no xmin; the first load may read them, later loads do not
            is_recent = _is_from(self.xmin) if since is not None else "false"
        conditions = [] if since is None else [f"({self._time} >= {_timestamp(since)} or {self._time} is null)"]
        # a smaller transaction id than before is from a restored backup
        if since is not None and xmin is not None and self.xmin is not None and xmin <= self.xmin:
            conditions.append(_is_from(xmin))
        self._cursor.execute(
            f"select {_microseconds(self._time)} as position, row_to_json(line)::text as line, {is_recent} as recent"
            f" from {self._from} as source cross join lateral"
            f" (select {', '.join(f'source.{_quoted(name)}' for name in self._columns_read)}) as line"
            f" {'where ' + ' and '.join(conditions) if conditions else ''} {f'limit {limit}' if limit else ''}"
        )
        yield from self._cursor.fetch_record_batch()

    def _relations(self) -> tuple[dict[str, tuple[int, str, str, str]], list[str]]:
        """The tables by name and by schema.name (oid, schema, name and kind), and the shortest name of each."""
        rows = self._rows(
            "select pg_class.oid::bigint, nspname::text, relname::text, relkind::text,"
            " pg_table_is_visible(pg_class.oid) from pg_class join pg_namespace on pg_namespace.oid = relnamespace"
            f" where relkind in ('r', 'p', 'v', 'm', 'f') and nspname not in {_SYSTEM_SCHEMAS}"
            " and not relispartition order by nspname, relname"
        )
        found: dict[str, tuple[int, str, str, str]] = {}
        names = []
        for oid, schema, name, kind, is_visible in rows:
            found[f"{schema}.{name}"] = (oid, schema, name, kind)
            if is_visible:
                found[name] = found[f"{schema}.{name}"]
            names.append(name if is_visible else f"{schema}.{name}")
        return found, names

    def _columns(self, oid: int) -> list[str]:
        query = "select attname::text from pg_attribute where attnum > 0 and not attisdropped and attrelid = "
        return [name for (name,) in self._rows(f"{query}{oid} order by attnum")]

    def _system(self) -> str:
        """The identity of the server's data, which is the same under another host name."""
        query = "select case when to_regprocedure('pg_control_system()') is not null then"
        allowed = self._rows(f"{query} has_function_privilege('pg_control_system()', 'execute') end")[0][0]
        identifier = "system_identifier::text" if allowed else "current_setting('port')"
        source = "from pg_control_system()" if allowed else ""
        return " ".join(self._rows(f"select {identifier}, current_database()::text {source}")[0])

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        self._cursor.execute(query)
        return list(self._cursor.fetchall())


@contextmanager
def open_table(dsn: str, wanted: str, *, keep_content: bool) -> Iterator[PostgresTable]:
    """Opens a table in one read transaction. Raises StoreError if that is not possible, or if reading it fails."""
    try:
        from adbc_driver_manager import Error
        from adbc_driver_postgresql import dbapi
    except ImportError as error:
        raise StoreError(INSTALL) from error
    try:
        with closing(dbapi.connect(dsn)) as connection, connection.cursor() as cursor:
            yield PostgresTable(cursor, wanted, keep_content=keep_content)
    except Error as error:
        raise StoreError(_message(error)) from None


def _message(error: BaseException) -> str:
    """The message of the server or of libpq, without the names of the driver's functions."""
    text = " ".join(str(error).split())
    text = re.sub(r"^[A-Z_ ]+: \[libpq\] ", "", text)
    return f"PostgreSQL: {text}"


def _is_from(xmin: int) -> str:
    """SQL that is true for rows of transactions from `xmin`. xmin of a row has only the lower 32 bits."""
    return f"mod(source.xmin::text::bigint - {xmin & 0xFFFFFFFF} + 4294967296, 4294967296) < 2147483648"


def _microseconds(time: str) -> str:
    return f"case when isfinite({time}) then (extract(epoch from {time}) * 1000000)::bigint end"


def _timestamp(microseconds: int) -> str:
    return f"timestamptz '1970-01-01 00:00:00+00' + {microseconds} * interval '1 microsecond'"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _dsn_value(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
