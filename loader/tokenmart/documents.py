"""Reads .json files, in which a JSON value can extend over several lines, as if each value were a line."""

import itertools
import json
import re
from collections.abc import Iterator

import pyarrow as pa

from tokenmart.checkpoints import TAIL_BYTES
from tokenmart.files import COMPRESSED_SUFFIXES, InputFile
from tokenmart.lines import BYTE_ORDER_MARK, MAX_LINE_BYTES, Block

_SPACE = re.compile(r"[ \t\r\n]*")
_BLANK = re.compile(r"\ufeff?[ \t\r\n]*")


def document_blocks(file: InputFile, *, offset: int = 0, line: int = 0) -> Iterator[Block] | None:
    """The values of a .json file after byte `offset` and `line` values, as blocks of lines.

    None if the file must be read line by line: it is no .json file, its first line is a JSON value, it is larger than
    MAX_LINE_BYTES, or it is not JSON. Raises OSError and EOFError.
    """
    if file.is_stream or not _is_json(file.name):
        return None
    data = b""
    with file.open() as (stream, _):
        while len(data) <= MAX_LINE_BYTES and (more := stream.read(MAX_LINE_BYTES)):
            if not data and _is_value(more):
                return None
            data += more
    ends = _ends(data[offset:]) if len(data) <= MAX_LINE_BYTES else []
    return iter([_block(data, [offset, *(offset + end for end in ends)], line)]) if ends else None


def _is_json(name: str) -> bool:
    for suffix in COMPRESSED_SUFFIXES:
        name = name.removesuffix(suffix)
    return name.endswith(".json")


def _is_value(data: bytes) -> bool:
    """Whether the first line ends with a newline and is a JSON value."""
    first, newline, _ = data.partition(b"\n")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        return False
    return bool(newline)


def _ends(data: bytes) -> list[int]:
    """The byte offsets at which the values end, with the whitespace after them; empty if the data are not JSON."""
    decode = json.JSONDecoder().raw_decode
    ends: list[int] = []
    try:
        text = data.decode()
        start = _skip(_BLANK, text, 0)
        end = len(text[:start].encode())
        while start < len(text):
            _, stop = decode(text, start)
            stop = _skip(_SPACE, text, stop)
            end += len(text[start:stop].encode())
            ends.append(end)
            start = stop
    except (ValueError, RecursionError):
        return []
    return ends


def _skip(pattern: re.Pattern[str], text: str, position: int) -> int:
    found = pattern.match(text, position)
    return found.end() if found else position


def _block(data: bytes, bounds: list[int], line: int) -> Block:
    """The values between these byte offsets. JSON has newlines only between tokens, so they can become spaces."""
    lines = []
    for start, end in itertools.pairwise(bounds):
        value = data[start:end].removeprefix(BYTE_ORDER_MARK).replace(b"\n", b" ")
        # the last byte stands for the newline that ends a line
        lines.append(value[:-1] if value.endswith(b" ") else value)
    array = pa.chunked_array([pa.array(lines, pa.large_binary())])
    return Block(array, line + 1, bounds[0], bounds[-1], data[: bounds[-1]][-TAIL_BYTES:])
