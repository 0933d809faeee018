"""Keeps the new rows of a store in a compressed temporary file, so that the store is not open while they are parsed."""

import tempfile
from collections.abc import Collection, Iterator

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tokenmart.lines import BLOCK_BYTES, Block

MOST_RECENT = 10_000
_ROWS = pa.schema([("position", pa.int64()), ("line", pa.large_binary())])
_DIGESTS = "select left(md5(line), 16) as digest from lines"


class Spool:
    """The new rows of a store, with the number of `rows`.

    `known` are the `recent` digests of the last load: the rows that it expected this load to see again. They are left
    out, unless they have changed.
    """

    def __init__(self, known: Collection[str]) -> None:
        self.rows = 0
        self.recent: list[str] = []
        self._known = pa.array(known, pa.string())
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `blocks`
        self._writer = pa.ipc.new_stream(self._file, _ROWS, options=pa.ipc.IpcWriteOptions(compression="zstd"))

    def add(self, positions: pa.Array, lines: pa.Array, recent: pa.Array) -> None:
        """Adds rows: the position and the line (large_binary) of each, and whether the next load will read it again."""
        batch = pa.RecordBatch.from_arrays([positions, lines], schema=_ROWS)
        if len(self._known) or pc.any(recent).as_py():
            digests = _digests(lines)
            self.recent = [*self.recent, *digests.filter(recent).to_pylist()][-MOST_RECENT:]
            batch = batch.filter(pc.invert(pc.is_in(digests, self._known)))
        self.rows += len(batch)
        rows = max(1, len(batch) * BLOCK_BYTES // max(batch.nbytes, 1))
        for first in range(0, len(batch), rows):
            self._writer.write_batch(batch.slice(first, rows))

    def blocks(self, *, first_line: int, start: int, end: int) -> Iterator[Block]:
        """The rows as blocks, whose lines are numbered from `first_line`. Can be called once."""
        self._writer.close()
        self._file.seek(0)
        with self._file, pa.ipc.open_stream(self._file) as batches:
            for batch in batches:
                lines, positions = pa.chunked_array([batch["line"]]), pa.chunked_array([batch["position"]])
                yield Block(lines, first_line, start, end, positions=positions)
                first_line += len(lines)


def split(texts: bytes) -> pa.Array:
    """The lines of a text (large_binary)."""
    return pc.split_pattern(pa.array([texts], pa.large_binary()), b"\n")[0].values


def _digests(lines: pa.Array) -> pa.Array:
    with duckdb.connect() as connection:
        connection.register("lines", pa.table({"line": lines}))
        return connection.sql(_DIGESTS).to_arrow_table()["digest"].combine_chunks()
