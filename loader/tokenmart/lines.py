"""Splits a stream of bytes into blocks of whole lines, at a memory cost that does not depend on the file's size."""

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

    `lines` holds their bytes without the newline, `first_line` is 1-based, `start` and `end` are byte offsets in the
    (decompressed) file, `tail` is what the file has before `end`: TAIL_BYTES of it, or all that was read of the stream.
    An overlong line is a separate block with only its first bytes.
    """

    lines: pa.ChunkedArray
    first_line: int
    start: int
    end: int
    tail: bytes = b""
    is_overlong: bool = False

    def offsets(self) -> pa.ChunkedArray:
        """The byte offset at which each line begins (int64)."""
        lengths = pc.add(pc.cast(pc.binary_length(self.lines), pa.int64()), 1)
        return pc.subtract(pc.cumulative_sum(lengths, start=self.start), lengths)

    def until(self, offset: int) -> "Block":
        """The lines that begin before this byte offset."""
        return Block(self.lines.filter(pc.less(self.offsets(), offset)), self.first_line, self.start, offset)


def blocks(stream: Readable, *, offset: int = 0, line: int = 0, final: bool = False) -> Iterator[Block]:
    """Yields the whole lines of `stream`, which is at byte `offset`, after `line` lines.

    A last line without its newline is left for the next time, unless `final`. A byte-order mark at the start of the
    file is not part of its first line. A stream that breaks off raises its error after the lines before it.
    """
    chunks: list[pa.Array] = []
    size = 0
    start, first_line = offset, line + 1
    held = unread = tail = b""
    fault: Exception | None = None
    while True:
        try:
            data = unread or stream.read(READ_BYTES)
        except (OSError, EOFError) as error:
            # the lines that were read before it are complete
            fault = error
            break
        if not data:
            break
        unread = b""
        if offset == 0 and start == 0 and not held and not chunks and data.startswith(BYTE_ORDER_MARK):
            start, data = len(BYTE_ORDER_MARK), data[len(BYTE_ORDER_MARK) :]
            tail = BYTE_ORDER_MARK
        held += data
        if b"\n" in data:
            lines = pc.split_pattern(_array(held), b"\n")[0].values
            rest = lines[-1].as_py()
            whole = len(held) - len(rest)
            tail = (tail + held[max(0, whole - TAIL_BYTES) : whole])[-TAIL_BYTES:]
            chunks.append(lines[:-1])
            size, held = size + whole, rest
        is_overlong = len(held) > MAX_LINE_BYTES
        if chunks and (is_overlong or size >= BLOCK_BYTES):
            yield Block(pa.chunked_array(chunks), first_line, start, start + size, tail)
            first_line += sum(map(len, chunks))
            chunks, start, size = [], start + size, 0
        if is_overlong:
            head = pa.chunked_array([_array(held[:KEPT_OF_OVERLONG_LINE])])
            length, tail, unread = _skip_line(stream, len(held), held[-TAIL_BYTES:])
            held = b""
            if not tail.endswith(b"\n") and not final:
                return
            yield Block(head, first_line, start, start + length, tail, is_overlong=True)
            first_line, start = first_line + 1, start + length
    if held and final and not fault:
        chunks.append(_array(held))
        size, tail = size + len(held), (tail + held)[-TAIL_BYTES:]
    if chunks:
        yield Block(pa.chunked_array(chunks), first_line, start, start + size, tail)
    if fault:
        raise fault


def _array(line: bytes) -> pa.Array:
    """An array of one line. pa.array() would import pandas, if it is installed."""
    ends = pa.py_buffer(struct.pack("=2q", 0, len(line)))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, pa.py_buffer(line)])


def _skip_line(stream: Readable, length: int, tail: bytes) -> tuple[int, bytes, bytes]:
    """Reads to the end of an overlong line. Returns its whole length, its last bytes, and what was read after it."""
    while data := stream.read(READ_BYTES):
        head, newline, rest = data.partition(b"\n")
        length += len(head) + len(newline)
        tail = (tail + head + newline)[-TAIL_BYTES:]
        if newline:
            return length, tail, rest
    return length, tail, b""
