"""Remembers how far each file was read, in a form that survives renaming, rotation and another machine."""

import hashlib
from collections.abc import Mapping
from typing import TypedDict

from loader.files import InputFile
from loader.lines import READ_BYTES, Readable

HEAD_BYTES = 4096
TAIL_BYTES = 256


class Position(TypedDict):
    """How far a file was read: `offset` bytes and `lines` lines, by the format of that name.

    `head` is a digest of the first bytes (a power of two of them), `tail` one of the TAIL_BYTES before the offset: a
    file that has both begins with what was read, whatever its name. `latest` is the latest time (ISO 8601) of a line
    whose id was made from its content, NULL if there was none.
    """

    offset: int
    lines: int
    format: str
    head: str
    tail: str
    latest: str | None


def position(file: InputFile, *, offset: int, lines: int, format_: str, latest: str | None) -> Position:
    """The position of a file that was read up to `offset`."""
    head = _read(file, 0, min(offset, HEAD_BYTES))
    head_bytes = 1 << (len(head).bit_length() - 1) if head else 0
    return Position(
        offset=offset,
        lines=lines,
        format=format_,
        head=_digest(head[:head_bytes]),
        tail=_digest(_read(file, max(0, offset - TAIL_BYTES), min(offset, TAIL_BYTES))),
        latest=latest,
    )


class Positions:
    """Known positions, found by what a file begins with."""

    def __init__(self, positions: Mapping[str, Position]) -> None:
        self._by_head: dict[str, list[Position]] = {}
        for known in sorted(positions.values(), key=lambda known: -known["offset"]):
            self._by_head.setdefault(known["head"], []).append(known)

    def find(self, file: InputFile) -> Position | None:
        """The furthest position that this file has behind it; None for a file that is new."""
        if not self._by_head:
            return None
        head = _read(file, 0, HEAD_BYTES)
        digests = [_digest(head[: 1 << power]) for power in range(len(head).bit_length())]
        candidates = [known for digest in digests for known in self._by_head.get(digest, ())]
        for known in sorted(candidates, key=lambda known: -known["offset"]):
            offset = known["offset"]
            if _digest(_read(file, max(0, offset - TAIL_BYTES), min(offset, TAIL_BYTES))) == known["tail"]:
                return known
        return None


def skip(stream: Readable, size: int) -> None:
    """Moves a stream forward by `size` bytes: at once where it can seek, else by reading."""
    if hasattr(stream, "seek") and getattr(stream, "seekable", lambda: False)():
        stream.seek(size)
        return
    while size > 0 and (data := stream.read(min(size, READ_BYTES))):
        size -= len(data)


def _read(file: InputFile, offset: int, size: int) -> bytes:
    data = b""
    with file.open() as (stream, _):
        skip(stream, offset)
        while len(data) < size and (more := stream.read(size - len(data))):
            data += more
    return data


def _digest(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=12).hexdigest()
