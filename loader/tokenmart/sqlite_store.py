"""Reads a table of a SQLite database, which another program may be writing to.

Rows become lines inside SQLite, which joins the lines of a page into one text: the standard library has no driver that
returns columns, and a loop over rows in Python would be slower.
"""

import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import quote

from tokenmart.checkpoints import Anchor, digest
from tokenmart.store_tables import SQLITE_TABLES, StoreError, StoreTable, choose

PAGE_ROWS = 10_000
BUSY_SECONDS = 30.0
ANCHOR_DISTANCES = (0, 10, 100, 1_000, 10_000)
"""How many rowids the anchors of a checkpoint are before the last row."""


@dataclass(frozen=True)
class Page:
    """Consecutive rows. `lines`, `rowids` and `recent` have one line per row; `recent` has 1 or 0, see `read`."""

    lines: bytes
    rowids: bytes
    recent: bytes
    rows: int


class SqliteTable:
    """A table of a SQLite database, in one read transaction. See `open_table`."""

    def __init__(self, connection: sqlite3.Connection, wanted: str | None, *, keep_content: bool) -> None:
        self._connection = connection
        columns = _columns(connection)
        self.name, self.table = choose(SQLITE_TABLES, columns, wanted)
        self.identity = f"sqlite {self.table.name}"
        self._line = _line(self.table, columns[self.name], keep_content=keep_content)
        self._time = next((name for name in self.table.time if name in columns[self.name]), None)

    def has(self, anchor: Anchor) -> bool:
        """Whether the row of an anchor still has the same rowid."""
        rowid, expected = anchor
        keys = self._rows(f"select {self._key} from {_quoted(self.name)} where rowid = ?", rowid)
        return [digest(key) for (key,) in keys] == [expected]

    def anchors(self) -> list[Anchor]:
        """The last row, and rows before it, the last first."""
        found: dict[int, Anchor] = {}
        for distance in ANCHOR_DISTANCES:
            query = f"select rowid, {self._key} from {_quoted(self.name)} where rowid <= ? order by rowid desc limit 1"
            for rowid, key in self._rows(query, self.last_rowid() - distance):
                found[rowid] = (rowid, digest(key))
        return list(found.values())

    def last_rowid(self) -> int:
        """The greatest rowid; 0 if there are no rows."""
        return int(self._rows(f"select coalesce(max(rowid), 0) from {_quoted(self.name)}")[0][0])

    def last_time(self) -> int | None:
        """The latest time of a row in milliseconds, but not after now; None for a table that is read by rowid."""
        if self._time is None:
            return None
        now = "cast((julianday('now') - 2440587.5) * 86400000 as integer)"
        time = f"coalesce(min(max(cast({_quoted(self._time)} as integer)), {now}), 0)"
        return int(self._rows(f"select {time} from {_quoted(self.name)}")[0][0])

    def pages(
        self, *, after: int = 0, until: int | None = None, since: int | None = None, recent: int = 0, limit: int | None
    ) -> Iterator[Page]:
        """The rows with rowids greater than `after`, up to `until`, whose time is at least `since` (milliseconds).

        `recent` marks the rows whose time is at least this. `limit` is the greatest number of rows.
        """
        is_recent = f"{self._at} >= {recent}" if self._time else "0"
        condition = f"{self._at} >= {since}" if since is not None else "true"
        query = (
            "select group_concat(line, char(10)), group_concat(position, char(10)), group_concat(recent, char(10)),"
            f" max(position), count(*) from (select rowid as position, {self._line} as line, {is_recent} as recent"
            f" from {_quoted(self.name)} where rowid > ? and rowid <= ? and {condition} order by rowid limit ?)"
        )
        until = self.last_rowid() if until is None else until
        while limit is None or limit > 0:
            size = min(PAGE_ROWS, limit or PAGE_ROWS)
            lines, rowids, is_recent, last, rows = self._rows(query, after, until, size)[0]
            if not rows:
                return
            yield Page(lines, rowids, is_recent, rows)
            after, limit = last, None if limit is None else limit - rows

    @property
    def _key(self) -> str:
        return f"json_array({', '.join(map(_value, self.table.key))})"

    @property
    def _at(self) -> str:
        return f"coalesce(cast({_quoted(str(self._time))} as integer), 0)"

    def _rows(self, query: str, *values: int) -> list[tuple]:  # type: ignore[type-arg]
        with _errors():
            return self._connection.execute(query, values).fetchall()


@contextmanager
def open_table(path: str, wanted: str | None, *, keep_content: bool) -> Iterator[SqliteTable]:
    """Opens the table `wanted`, or the one that Tokenmart knows, in one read transaction.

    The database is never written: it is opened read-only, and with its write-ahead log. Raises StoreError if it cannot
    be read, or has no such table.
    """
    with _errors():
        connection = sqlite3.connect(
            f"file:{quote(os.fsencode(path))}?mode=ro",
            uri=True,
            isolation_level=None,
            timeout=BUSY_SECONDS,
            check_same_thread=False,
        )
    try:
        with _errors():
            connection.text_factory = bytes
            # the schema of the file must not call functions with side effects
            connection.execute("pragma trusted_schema = off")
            connection.execute("begin")
            table = SqliteTable(connection, wanted, keep_content=keep_content)
        yield table
    finally:
        connection.close()


@contextmanager
def _errors() -> Iterator[None]:
    """Raises errors of SQLite as StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        if "readonly database" in text or "unable to open" in text:
            text += (
                "; if its program is not running, SQLite has to create files next to it, so run Tokenmart as a user"
                " who can write to its folder, or load a copy of the folder"
            )
        elif "locked" in text:
            text += "; another program is writing to it, so try again later"
        raise StoreError(f"SQLite: {text}") from error


def _columns(connection: sqlite3.Connection) -> Mapping[str, Sequence[str]]:
    """The columns of each table, without views and virtual tables, which can run SQL of their own."""
    rows = connection.execute(
        "select tables.name, columns.name from sqlite_master as tables, pragma_table_info(tables.name) as columns"
        " where tables.type = 'table' and tables.name not like 'sqlite\\_%' escape '\\'"
        " and tables.sql not like 'create virtual%' order by tables.name, columns.cid"
    )
    found: dict[str, list[str]] = {}
    for table, column in rows.fetchall():
        found.setdefault(table.decode("utf-8", "replace"), []).append(column.decode("utf-8", "replace"))
    return found


def _line(table: StoreTable, columns: Sequence[str], *, keep_content: bool) -> str:
    """SQL for the JSON object of a row, without line breaks."""
    if table.document is None:
        selected = table.selected(columns, keep_content=keep_content)
        members = (f"'{name}', {_json(name) if name in table.json else _value(name)}" for name in selected)
        return f"json_object({', '.join(members)})"
    document = _quoted(table.document)
    paths = "".join(f", '$.{name}'" for name in table.document_content if not keep_content)
    ids = ", ".join(f"'$.{key}', {_value(column)}" for key, column in table.ids)
    kept = f"json_remove({document}{paths})" if paths else document
    key = _value(table.key[0])
    role = f"json_extract({document}, '$.role')"
    # other messages are prompts; their number is needed, but not their content
    return f"""
        case
            when json_valid({document}) is not 1 then json_quote({key}) || ' has {table.document} that is not JSON'
            when {role} is not 'assistant' then json_object('id', {key}, 'role', {role})
            else json_set({kept}, {ids})
        end"""


def _value(name: str) -> str:
    """SQL for a value. JSON functions fail for binary values."""
    return f"iif(typeof({_quoted(name)}) = 'blob', cast({_quoted(name)} as text), {_quoted(name)})"


def _json(name: str) -> str:
    """SQL for a text that contains JSON, as JSON; other texts remain texts."""
    return f"case when json_valid({_value(name)}) then json({_value(name)}) else {_value(name)} end"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
