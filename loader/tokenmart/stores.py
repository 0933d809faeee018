"""Reads the new rows of stores (databases that other tools write) as blocks of lines."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenmart import postgres_store, sqlite_store
from tokenmart.checkpoints import Anchor, Checkpoint, StorePosition
from tokenmart.files import InputFile
from tokenmart.store_tables import StoreError, StoreOptions

if TYPE_CHECKING:
    from tokenmart.lines import Block
    from tokenmart.spool import Spool


@dataclass(frozen=True)
class StoreRead:
    """The new rows of a table, which is not open any more.

    `checkpoint` is the one after which it was read, None if it was read from the beginning, and `position` the new one.
    `start` and `end` are the positions before and after the new rows. `spool` is None if there are no new rows.
    """

    format: str
    checkpoint: Checkpoint | None
    position: StorePosition
    start: int
    end: int
    spool: "Spool | None"

    @property
    def rows(self) -> int:
        """The number of new rows."""
        return self.spool.rows if self.spool else 0


def read_store(
    file: InputFile, options: StoreOptions, stored: Mapping[str, Checkpoint], format_: str | None
) -> StoreRead:
    """Reads the rows after the `stored` checkpoints. `format_` is the format that the user has set.

    Raises StoreError if the store cannot be read, has no table that Tokenmart knows, or has another format.
    """
    read = _read_sqlite if file.dsn is None else _read_postgres
    return read(file, options, [checkpoint for checkpoint in stored.values() if "store" in checkpoint], format_)


def sqlite_format(file: InputFile) -> tuple[str, str]:
    """The table of a SQLite database that a load would read, and its format. Raises StoreError as `read_store` does."""
    with sqlite_store.open_table(file.url, None, keep_content=False) as table:
        return table.name, table.table.format


def earlier_blocks(file: InputFile, options: StoreOptions, until: int) -> Iterator["Block"]:
    """The rows of a SQLite table up to the rowid `until`, which earlier loads have read."""
    from tokenmart.spool import Spool

    with sqlite_store.open_table(file.url, options.table, keep_content=options.keep_content) as table:
        spool = Spool(())
        _add(spool, table.pages(until=until, limit=None))
    yield from spool.blocks(first_line=1, start=0, end=until + 1)


def _read_sqlite(
    file: InputFile, options: StoreOptions, stored: Iterable[Checkpoint], format_: str | None
) -> StoreRead:
    with sqlite_store.open_table(file.url, options.table, keep_content=options.keep_content) as table:
        _check_format(table.name, table.table.format, format_)
        time, last = table.last_time(), table.last_rowid()
        # A table that is read by time is known by its path: a copy in which other rows were added has the same anchors.
        identity = table.identity if time is None else f"{table.identity} {file.url}"
        checkpoint, anchor = _matching(table, identity, stored)
        before = checkpoint["store"]["time"] if checkpoint else None
        after, since, recent = anchor[0] if anchor else 0, None, 0
        if time is not None:
            after, recent = 0, time - options.overlap * 1_000
            since = None if before is None else before - options.overlap * 1_000
        pages = table.pages(after=after, since=since, recent=recent, limit=options.limit)
        spool = _spooled(pages, checkpoint["store"]["recent"] if checkpoint else [])
        position = StorePosition(
            table=identity, anchors=table.anchors(), time=time, recent=spool.recent if spool else [], xmin=None
        )
    start = (after if time is None else before or -1) + 1 if checkpoint else 0
    return StoreRead(table.table.format, checkpoint, position, start, (last if time is None else time) + 1, spool)


def _matching(
    table: sqlite_store.SqliteTable, identity: str, stored: Iterable[Checkpoint]
) -> tuple[Checkpoint | None, Anchor | None]:
    """The checkpoint of this table with the last row that is unchanged, and that row.

    SQLite can give the rowids of deleted rows to new ones, and VACUUM can number all rows again. Then fewer anchors of
    the checkpoint match, or none, and the rows after the last that does are read again.
    """
    candidates = [checkpoint for checkpoint in stored if checkpoint["store"]["table"] == identity]
    for checkpoint in sorted(candidates, key=lambda checkpoint: -checkpoint["store"]["anchors"][0][0]):
        for anchor in checkpoint["store"]["anchors"]:
            if table.has(anchor):
                return checkpoint, anchor
    return None, None


def _spooled(pages: Iterator[sqlite_store.Page], known: list[str]) -> "Spool | None":
    first = next(pages, None)
    if first is None:
        return None
    # pyarrow is slow to import, and a load without new rows does not need it
    from tokenmart.spool import Spool

    spool = Spool(known)
    _add(spool, [first])
    _add(spool, pages)
    return spool


def _add(spool: "Spool", pages: Iterable[sqlite_store.Page]) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    from tokenmart.spool import split

    for page in pages:
        lines, rowids = split(page.lines), split(page.rowids).cast(pa.string()).cast(pa.int64())
        if len(lines) != page.rows:
            raise StoreError("SQLite: a row became more than one line")
        spool.add(rowids, lines, pc.equal(split(page.recent), b"1"))


def _read_postgres(
    file: InputFile, options: StoreOptions, stored: Iterable[Checkpoint], format_: str | None
) -> StoreRead:
    with ExitStack() as stack:
        table = stack.enter_context(
            postgres_store.open_table(str(file.dsn), str(options.table), keep_content=options.keep_content)
        )
        import pyarrow as pa

        from tokenmart.spool import Spool

        _check_format(table.name, table.table.format, format_)
        found = [checkpoint for checkpoint in stored if checkpoint["store"]["table"] == table.identity]
        checkpoint = found[-1] if found else None
        before = checkpoint["store"] if checkpoint else None
        overlap = options.overlap * 1_000_000
        spool = Spool(before["recent"] if before else ())
        for batch in table.batches(
            since=(before["time"] or 0) - overlap if before else None,
            xmin=before["xmin"] if before else None,
            recent=table.last_time - overlap,
            limit=options.limit,
        ):
            spool.add(batch["position"], batch["line"].cast(pa.large_binary()), batch["recent"])
    position = StorePosition(
        table=table.identity, anchors=[], time=table.last_time, recent=spool.recent, xmin=table.xmin
    )
    start = (before["time"] or 0) + 1 if before else 0
    return StoreRead(table.table.format, checkpoint, position, start, table.last_time + 1, spool)


def _check_format(table: str, format_: str, wanted: str | None) -> None:
    if wanted not in (None, format_):
        raise StoreError(f"its table {table} has the format {format_}, not {wanted}")
