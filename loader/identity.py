"""Gives an id to the lines that bring none: their content, and the how-manieth of its kind in the file it is."""

import datetime as dt
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from loader.lines import Batch

_SEEN = "create table seen (content varchar, times bigint)"
_COUNT = "insert into seen select md5(bytes), count(*) from lines group by all"
_IDENTIFY = """
    with new as (select source_line, md5(bytes) as content from lines),
    before as (select content, sum(times) as times from seen where content in (select content from new) group by content)
    select
        new.content || '-' || cast(
            coalesce(before.times, 0) + row_number() over (partition by new.content order by new.source_line) as varchar
        ) as event_id
    from new left join before on before.content = new.content
    order by new.source_line
"""


@dataclass
class Identities:
    """The lines of one file that had to be given an id, counted by content.

    `earlier` yields the batches of the file that former loads read. They are read again only when a new line is not
    later than all those before it (`latest`): lines of another time have another content.
    """

    earlier: Callable[[], Iterator[Batch]]
    latest: dt.datetime | None = None
    _connection: duckdb.DuckDBPyConnection = field(init=False)
    _is_complete: bool = field(init=False)

    def __post_init__(self) -> None:
        self._connection = duckdb.connect(config={"memory_limit": "128MB"})
        self._connection.execute(_SEEN)
        self._is_complete = self.latest is None

    def identify(self, batch: Batch, events: pa.Table) -> pa.Table:
        """`events` with every event_id filled."""
        is_new = pc.is_null(events["event_id"])
        if not pc.any(is_new).as_py():
            return events
        new = events.filter(is_new)
        span = pc.min_max(new["occurred_at"])
        if not self._is_complete and span["min"].as_py() <= self.latest:
            for before in self.earlier():
                self._count(before.lines)
            self._is_complete = True
        numbers = new["source_line"]
        lines = batch.lines.take(pc.subtract(numbers, batch.first_line))
        self._connection.register("lines", pa.table({"source_line": numbers, "bytes": lines}))
        ids = self._connection.sql(_IDENTIFY).to_arrow_table()["event_id"]
        self._count(lines)
        self.latest = max(self.latest or span["max"].as_py(), span["max"].as_py())
        filled = pc.replace_with_mask(events["event_id"].cast(ids.type), is_new, ids.combine_chunks())
        return events.set_column(events.column_names.index("event_id"), "event_id", filled)

    def _count(self, lines: pa.ChunkedArray) -> None:
        self._connection.register("lines", pa.table({"bytes": lines}))
        self._connection.execute(_COUNT)
