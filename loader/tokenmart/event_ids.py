"""Computes ids for lines without an id: a digest of the content, and its occurrence number in the file."""

import datetime as dt
from collections.abc import Callable, Iterator
from functools import cached_property

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tokenmart.lines import Block
from tokenmart.parse import lines_of

_CREATE_SEEN = "create table seen (file bigint, content varchar, occurrences bigint)"
_COUNT = "insert into seen select file, md5(bytes), count(*) from lines group by all"
_IDENTIFY = """
    with new as (select file, position, md5(bytes) as content from lines),
    before as (
        select file, content, sum(occurrences) as occurrences
        from seen
        where (file, content) in (select (file, content) from new)
        group by file, content
    )
    select
        new.content || '-' || cast(
            coalesce(before.occurrences, 0)
            + row_number() over (partition by new.file, new.content order by new.position) as varchar
        ) as event_id
    from new left join before on before.file = new.file and before.content = new.content
    order by new.position
"""


class EventIds:
    """Computes ids from the number of lines with the same content in the same file. Files are identified by number.

    `earlier` reads the part of a file that earlier loads have read, so that its lines are counted. This is necessary
    only if a new line is not later than all lines before it: lines with different times have different content.
    """

    def __init__(self, earlier: Callable[[int], Iterator[Block]]) -> None:
        self.latest: dict[int, dt.datetime] = {}
        self._earlier = earlier
        self._counted: set[int] = set()

    @cached_property
    def _connection(self) -> duckdb.DuckDBPyConnection:
        # created only if a line needs an id
        connection = duckdb.connect(config={"memory_limit": "128MB"})
        connection.execute(_CREATE_SEEN)
        return connection

    def begin(self, file: int, latest: dt.datetime | None) -> None:
        """Sets the latest time of the lines of a file that got their ids in earlier loads; None if there are none."""
        if latest is None:
            self._counted.add(file)
        else:
            self.latest[file] = latest

    def identify(self, events: pa.Table, files: pa.ChunkedArray, lines: pa.ChunkedArray) -> pa.Table:
        """Returns `events` with every event_id filled.

        `files` and `lines` are the file number and the bytes by line_id.
        """
        is_new = pc.is_null(events["event_id"]).combine_chunks()
        if not pc.any(is_new).as_py():
            return events
        new = events.filter(is_new)
        numbers, of_file = new["line_id"], files.take(new["line_id"])
        spans = (
            pa.table({"file": of_file, "at": new["occurred_at"]})
            .group_by("file")
            .aggregate([("at", "min"), ("at", "max")])
        )
        for span in spans.to_pylist():
            file = span["file"]
            if file not in self._counted and span["at_min"] <= self.latest[file]:
                for before in self._earlier(file):
                    self._count(pa.repeat(file, len(before.lines)), before.lines)
                self._counted.add(file)
            self.latest[file] = max(self.latest.get(file, span["at_max"]), span["at_max"])
        bytes_ = lines_of(lines, numbers)
        self._connection.register(
            "lines", pa.table({"file": of_file, "position": pa.arange(0, len(new)), "bytes": bytes_})
        )
        ids = self._connection.sql(_IDENTIFY).to_arrow_table()["event_id"]
        self._count(of_file, bytes_)
        filled = pc.replace_with_mask(events["event_id"].cast(ids.type).combine_chunks(), is_new, ids.combine_chunks())
        return events.set_column(events.column_names.index("event_id"), "event_id", filled)

    def close(self) -> None:
        """Closes the database with the counts."""
        if "_connection" in self.__dict__:
            self._connection.close()

    def _count(self, files: pa.ChunkedArray, lines: pa.ChunkedArray) -> None:
        self._connection.register("lines", pa.table({"file": files, "bytes": lines}))
        self._connection.execute(_COUNT)
