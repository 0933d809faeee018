"""Splits a stream of bytes into blocks of whole lines. The memory that it needs does not depend on the file size."""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from tokenmart.checkpoints import TAIL_BYTES
from tokenmart.files import Readable

MEBIBYTE = 1 << 20
READ_BYTES = MEBIBYTE  # one Arrow chunk; DuckDB reads the chunks of a block in parallel
BLOCK_BYTES = 8 * MEBIBYTE
MAX_LINE_BYTES = 64 * MEBIBYTE
KEPT_OF_OVERLONG_LINE = MEBIBYTE
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Block:
    """Consecutive whole lines of one file.

    `lines` (large_binary) are the lines without their newlines. `first_line` is the number of the first line, from 1.
    `start` and `end` are byte offsets in the decompressed file. `tail` are the TAIL_BYTES before `end`, or fewer if the
    stream began later. `positions` are the positions of rows of a store, for which `start` and `end` are not bytes. An
    overlong line is in a separate block that has only its first KEPT_OF_OVERLONG_LINE bytes.
    """

    lines: pa.ChunkedArray
    first_line: int
    start: int
    end: int
    tail: bytes = b""
    is_overlong: bool = False
    positions: pa.ChunkedArray | None = None

    @property
    def size(self) -> int:
        """The number of bytes."""
        return int(self.lines.nbytes) if self.positions is not None else self.end - self.start

    def offsets(self) -> pa.ChunkedArray:
        """The byte offset at which each line begins, or its position in a store (int64)."""
        if self.positions is not None:
            return self.positions
        lengths = pc.add(pc.cast(pc.binary_length(self.lines), pa.int64()), 1)
        return pc.subtract(pc.cumulative_sum(lengths, start=self.start), lengths)

    def until(self, offset: int) -> "Block":
        """The lines that begin before this byte offset, as a block that ends there."""
        return Block(self.lines.filter(pc.less(self.offsets(), offset)), self.first_line, self.start, offset)


def blocks(stream: Readable, *, offset: int = 0, line: int = 0, final: bool = False) -> Iterator[Block]:
    """Yields the whole lines of `stream`, whose position is byte `offset` after `line` lines.

    A last line without a newline is not returned, unless `final` is true. A byte-order mark at the start of the file is
    not part of the first line. If reading raises OSError or EOFError, all lines before the error are yielded first.
    """
    chunks: list[pa.Array] = []
    size = 0
    start, first_line = offset, line + 1
    partial = unread = tail = b""
    read_error: Exception | None = None
    while True:
        try:
            data = unread or stream.read(READ_BYTES)
        except (OSError, EOFError) as error:
            # yield the complete lines before the error first
            read_error = error
            break
        if not data:
            break
        unread = b""
        if offset == 0 and start == 0 and not partial and not chunks and data.startswith(BYTE_ORDER_MARK):
            start, data = len(BYTE_ORDER_MARK), data[len(BYTE_ORDER_MARK) :]
            tail = BYTE_ORDER_MARK
        partial += data
        if b"\n" in data:
            lines = pc.split_pattern(_array(partial), b"\n")[0].values
            rest = lines[-1].as_py()
            whole = len(partial) - len(rest)
            tail = (tail + partial[max(0, whole - TAIL_BYTES) : whole])[-TAIL_BYTES:]
            chunks.append(lines[:-1])
            size, partial = size + whole, rest
        is_overlong = len(partial) > MAX_LINE_BYTES
        if chunks and (is_overlong or size >= BLOCK_BYTES):
            yield Block(pa.chunked_array(chunks), first_line, start, start + size, tail)
            first_line += sum(map(len, chunks))
            chunks, start, size = [], start + size, 0
        if is_overlong:
            head = pa.chunked_array([_array(partial[:KEPT_OF_OVERLONG_LINE])])
            length, tail, unread = _skip_line(stream, len(partial), partial[-TAIL_BYTES:])
            partial = b""
            if not tail.endswith(b"\n") and not final:
                return
            yield Block(head, first_line, start, start + length, tail, is_overlong=True)
            first_line, start = first_line + 1, start + length
    if partial and final and not read_error:
        chunks.append(_array(partial))
        size, tail = size + len(partial), (tail + partial)[-TAIL_BYTES:]
    if chunks:
        yield Block(pa.chunked_array(chunks), first_line, start, start + size, tail)
    if read_error:
        raise read_error


def _array(line: bytes) -> pa.Array:
    """An array with one line. pa.array() imports pandas if it is installed, which is slow."""
    ends = pa.py_buffer(struct.pack("=2q", 0, len(line)))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(line)])


def _skip_line(stream: Readable, length: int, tail: bytes) -> tuple[int, bytes, bytes]:
    """Reads to the end of an overlong line. Returns its total length, its last bytes, and the bytes read after it."""
    while data := stream.read(READ_BYTES):
        head, newline, rest = data.partition(b"\n")
        length += len(head) + len(newline)
        tail = (tail + head + newline)[-TAIL_BYTES:]
        if newline:
            return length, tail, rest
    return length, tail, b""
