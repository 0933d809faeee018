"""The complete lines of a stream are read unchanged, wherever reads and blocks end."""

import io
from collections.abc import Iterator
from unittest import mock

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tokenmart import lines
from tokenmart.lines import Block, blocks

BOM = b"\xef\xbb\xbf"
ANY_LENGTH = 1 << 30
PIECES = [b"", b"\r", b"a", b"{}", b"longer", b"x" * 15, b"y" * 40, BOM]
# any bytes, and content with many lines of different lengths
CONTENTS = st.binary(max_size=60) | st.lists(st.sampled_from(PIECES), min_size=4, max_size=20).map(b"\n".join)


class Trickle(io.BytesIO):
    """A stream that returns fewer bytes than requested, as a pipe or a decompressor does."""

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(max(1, (size or 0) // 2))


def blocks_of(
    data: bytes | io.BytesIO,
    *,
    read: int = 4,
    block: int = 100,
    longest: int = ANY_LENGTH,
    kept: int = 3,
    offset: int = 0,
    line: int = 0,
    final: bool = False,
) -> list[Block]:
    """The blocks of `data` from `offset` on, read with limits of these sizes."""
    stream = data if isinstance(data, io.BytesIO) else io.BytesIO(data)
    stream.seek(offset)
    limits = {
        "READ_BYTES": read,
        "BLOCK_BYTES": block,
        "MAX_LINE_BYTES": longest,
        "KEPT_OF_OVERLONG_LINE": kept,
    }
    with mock.patch.multiple(lines, **limits):
        return list(blocks(stream, offset=offset, line=line, final=final))


def rows(found: list[Block]) -> Iterator[tuple[int, int, bytes, bool]]:
    """Number, offset and bytes of each line, and whether it is the head of an overlong one."""
    for block in found:
        places = enumerate(zip(block.offsets().to_pylist(), block.lines.to_pylist(), strict=True), block.first_line)
        for number, (offset, line) in places:
            yield number, offset, line, block.is_overlong


def lines_by_split(data: bytes, *, final: bool) -> list[tuple[int, int, bytes]]:
    """Number, offset and bytes of each complete line, computed with bytes.split()."""
    offset = len(BOM) if data.startswith(BOM) else 0
    pieces = data[offset:].split(b"\n")
    if not (final and pieces[-1]):
        pieces.pop()
    found = []
    for number, piece in enumerate(pieces, 1):
        found.append((number, offset, piece))
        offset += len(piece) + 1
    return found


@given(CONTENTS, st.integers(3, 20), st.integers(1, 40), st.booleans())
@example(b"\n", 3, 1, False)
@example(BOM, 3, 1, True)
@example(BOM + b"\n" + BOM + b"\n", 3, 1, False)
def test_lines_and_offsets_equal_those_of_split(data: bytes, read: int, block: int, final: bool) -> None:
    found = [row[:3] for row in rows(blocks_of(data, read=read, block=block, final=final))]
    assert found == lines_by_split(data, final=final)
    assert all(data[offset : offset + len(line)] == line for _, offset, line in found)


@given(
    CONTENTS.filter(lambda data: not data.startswith(BOM)),
    st.integers(1, 20),
    st.integers(1, 40),
    st.booleans(),
)
def test_short_reads_change_nothing(data: bytes, read: int, block: int, final: bool) -> None:
    found = [row[:3] for row in rows(blocks_of(Trickle(data), read=read, block=block, final=final))]
    assert found == lines_by_split(data, final=final)


@given(
    CONTENTS,
    st.integers(3, 20),
    st.integers(1, 40),
    st.integers(1, 12),
    st.integers(0, 12),
    st.integers(0, 99),
    st.booleans(),
)
def test_blocks_are_contiguous_and_within_their_limits(
    data: bytes, read: int, block: int, longest: int, kept: int, line: int, final: bool
) -> None:
    found = blocks_of(data, read=read, block=block, longest=longest, kept=kept, line=line, final=final)
    end, before = (len(BOM) if data.startswith(BOM) else 0), line
    for part in found:
        assert (part.start, part.first_line) == (end, before + 1)
        assert len(part.lines) >= 1 and part.end > part.start
        assert data[part.end - 1 : part.end] == b"\n" or part.end == len(data)
        assert len(part.lines) == 1 if part.is_overlong else part.end - part.start <= block + longest + 2 * read
        end, before = part.end, before + len(part.lines)


@given(CONTENTS, st.integers(3, 20), st.integers(1, 40), st.integers(1, 12), st.integers(0, 12), st.booleans())
@example(b"a" * 12 + b"\n" + b"b" * 12, 3, 40, 5, 2, False)
def test_an_overlong_line_keeps_its_head_and_later_lines_are_unchanged(
    data: bytes, read: int, block: int, longest: int, kept: int, final: bool
) -> None:
    kept = min(kept, longest)
    expected = lines_by_split(data, final=final)
    found = list(rows(blocks_of(data, read=read, block=block, longest=longest, kept=kept, final=final)))
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    for (_, _, line, is_overlong), (_, _, whole) in zip(found, expected, strict=True):
        assert line == (whole[:kept] if is_overlong else whole)
        # a line that ends in the same read that passes the limit is kept completely
        assert len(whole) > longest if is_overlong else len(whole) <= longest + read


@given(CONTENTS, st.integers(0, 60), st.integers(3, 20), st.integers(1, 40))
def test_reading_in_two_steps_gives_the_same_lines_as_in_one(data: bytes, size: int, read: int, block: int) -> None:
    first = blocks_of(data[:size], read=read, block=block)
    offset = first[-1].end if first else 0
    line = sum(len(part.lines) for part in first)
    rest = blocks_of(data, read=read, block=block, offset=offset, line=line, final=True)
    assert [row[:3] for row in rows(first + rest)] == lines_by_split(data, final=True)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", []),
        (BOM, []),
        (b"no newline", []),
        (b"\n", [(1, 0, b"")]),
        (b"\n\n\n", [(1, 0, b""), (2, 1, b""), (3, 2, b"")]),
        (b"a\r\nb\r\n", [(1, 0, b"a\r"), (2, 3, b"b\r")]),
        (b"one\ntwo\nthr", [(1, 0, b"one"), (2, 4, b"two")]),
        (BOM + b"one\n" + BOM + b"two\n", [(1, 3, b"one"), (2, 7, BOM + b"two")]),
        (b"a\n" + BOM + b"\n", [(1, 0, b"a"), (2, 2, BOM)]),
        (b"\x00\n\xff\xfe\n", [(1, 0, b"\x00"), (2, 2, b"\xff\xfe")]),
    ],
)
def test_small_files_have_the_expected_lines(data: bytes, expected: list[tuple[int, int, bytes]]) -> None:
    assert [row[:3] for row in rows(blocks_of(data))] == expected


def test_a_last_line_without_newline_waits_unless_it_is_final() -> None:
    assert [row[2] for row in rows(blocks_of(b"one\ntwo"))] == [b"one"]
    assert [row[2] for row in rows(blocks_of(b"one\ntwo", final=True))] == [b"one", b"two"]
    assert blocks_of(b"one\ntwo", final=True)[-1].end == 7


def test_a_byte_order_mark_within_a_file_belongs_to_its_line() -> None:
    assert list(rows(blocks_of(b"a\n" + BOM + b"b\n", offset=2, line=1))) == [(2, 2, BOM + b"b", False)]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # number, offset, bytes and whether it is overlong; reads of 4 bytes, lines of up to 10, heads of 3
        (b"a\n" + b"x" * 20 + b"\nb\n", [(1, 0, b"a", False), (2, 2, b"xxx", True), (3, 23, b"b", False)]),
        (
            b"x" * 20 + b"\n" + b"y" * 30 + b"\n" + b"z" * 40 + b"\nb\n",
            [(1, 0, b"xxx", True), (2, 21, b"yyy", True), (3, 52, b"zzz", True), (4, 93, b"b", False)],
        ),
        (
            b"x" * 20 + b"\n\n\nb\n",
            [(1, 0, b"xxx", True), (2, 21, b"", False), (3, 22, b"", False), (4, 23, b"b", False)],
        ),
        (b"a\n" + b"x" * 20 + b"\n", [(1, 0, b"a", False), (2, 2, b"xxx", True)]),
        (BOM + b"x" * 20 + b"\nb\n", [(1, 3, b"xxx", True), (2, 24, b"b", False)]),
    ],
    ids=[
        "between others",
        "several in a row",
        "before empty lines",
        "at the end",
        "after a byte-order mark",
    ],
)
def test_only_the_heads_of_overlong_lines_are_kept(data: bytes, expected: list[tuple[int, int, bytes, bool]]) -> None:
    found = blocks_of(data, longest=10)
    assert list(rows(found)) == expected
    assert found[-1].end == len(data)
    assert [len(part.lines) for part in found if part.is_overlong] == [1] * sum(row[3] for row in expected)


def test_an_overlong_last_line_without_newline_waits_unless_it_is_final() -> None:
    data = b"a\n" + b"x" * 20
    assert list(rows(blocks_of(data, longest=10))) == [(1, 0, b"a", False)]
    found = blocks_of(data, longest=10, final=True)
    assert list(rows(found)) == [(1, 0, b"a", False), (2, 2, b"xxx", True)]
    assert found[-1].end == len(data)


@settings(max_examples=20)
@given(st.lists(st.integers(0, 9), min_size=1, max_size=30), st.integers(1, 30))
def test_a_block_ends_with_the_read_that_fills_it(lengths: list[int], block: int) -> None:
    data = b"".join(b"x" * length + b"\n" for length in lengths)
    found = blocks_of(data, read=1, block=block)
    assert all(part.end - part.start >= block for part in found[:-1])
    assert all(part.end - part.start < block + 10 for part in found)
