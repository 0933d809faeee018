"""Remembers how far each file was read, in a form that survives renaming, rotation and another machine."""

import hashlib
from collections.abc import Callable, Mapping, MutableMapping
from typing import NotRequired, TypedDict

from tokenmart.files import InputFile
from tokenmart.lines import READ_BYTES, TAIL_BYTES, Readable

HEAD_BYTES = 4096
PIPELINE, SOURCE = "tokenmart", "usage"  # the names under which dlt's state holds the positions
MOST_POSITIONS = 50_000  # about 250 bytes each, in every load's state; a forgotten file is only read again


class Position(TypedDict):
    """How far a file was read: `offset` bytes and `lines` lines, with the given format, when its name was `name`.

    `head` is a digest of the first bytes (a power of two of them), `tail` one of the TAIL_BYTES before the offset: a
    file with both begins with what was read, under any name. `latest` is the latest time (ISO 8601) of a line whose
    id was made from its content, NULL if there was none. `packed` identifies a compressed file that was read to its
    end: see `packed_digest`.
    """

    name: str
    offset: int
    lines: int
    format: str
    head: str
    tail: str
    latest: str | None
    packed: NotRequired[str]


def remember(known: MutableMapping[str, Position], position: Position, before: Position | None) -> None:
    """Adds a position as the newest of the known ones; it replaces the position `before` of the same file."""
    if before and before["name"] == position["name"]:
        known.pop(_key(before), None)
    known.pop(_key(position), None)
    known[_key(position)] = position


def forget(known: MutableMapping[str, Position], files: int) -> None:
    """Removes the oldest of too many positions, but none of this load's `files`: their lines would land again."""
    while len(known) > max(MOST_POSITIONS, files):
        del known[next(iter(known))]


def _key(position: Position) -> str:
    return "-".join(
        [position["head"], str(position["offset"]), position["tail"], *filter(None, [position.get("packed")])]
    )


def packed_digest(file: InputFile, head: bytes, tail: bytes) -> str | None:
    """Identifies a compressed file by its size, its modification time and its first and last bytes as they are stored.

    gzip ends with a checksum of the content. None if the time is unknown.
    """
    return digest(f"{file.size} {file.changed} ".encode() + head + tail) if file.changed else None


def head_digest(head: bytes) -> str:
    """The digest of the first bytes, cut to a power of two."""
    return digest(head[: 1 << (len(head).bit_length() - 1)]) if head else digest(b"")


def digest(data: bytes) -> str:
    """A short digest of some bytes."""
    return hashlib.blake2b(data, digest_size=12).hexdigest()


class Positions:
    """Known positions, found by the first bytes of a file."""

    def __init__(self, positions: Mapping[str, Position]) -> None:
        self._by_head: dict[str, list[Position]] = {}
        self._by_packed: dict[str, Position] = {}
        powers = set()
        for known in positions.values():
            self._by_head.setdefault(known["head"], []).append(known)
            powers.add(min(known["offset"], HEAD_BYTES).bit_length() - 1)
            if packed := known.get("packed"):
                self._by_packed[packed] = known
        self._powers = sorted(power for power in powers if power >= 0)

    def unchanged(self, packed: str | None) -> Position | None:
        """The position of the compressed file with that `packed_digest`."""
        return self._by_packed.get(packed) if packed else None

    def find(self, head: bytes, read: Callable[[int, int], bytes]) -> tuple[Position | None, bytes]:
        """The furthest position that a file with these first bytes was read to, and the bytes before it.

        `read(offset, size)` returns at most `size` bytes of the file. None, and no bytes, for a new file.
        """
        digests = [digest(head[: 1 << power]) for power in self._powers if 1 << power <= len(head)]
        candidates = [known for name in digests for known in self._by_head.get(name, ())]
        for known in sorted(candidates, key=lambda known: -known["offset"]):
            offset = known["offset"]
            tail = read(max(0, offset - TAIL_BYTES), min(offset, TAIL_BYTES))
            if digest(tail) == known["tail"]:
                return known, tail
        return None, b""


def skip(stream: Readable, size: int) -> None:
    """Moves a stream forward by `size` bytes, by seeking if possible, else by reading."""
    if hasattr(stream, "seek") and getattr(stream, "seekable", lambda: False)():
        stream.seek(size)
        return
    while size > 0 and (data := stream.read(min(size, READ_BYTES))):
        size -= len(data)


def read(file: InputFile, offset: int, size: int) -> bytes:
    """At most `size` bytes of a file from an offset on, fewer if the file breaks off. Raises if there are none."""
    data = b""
    with file.open() as (stream, _):
        skip(stream, offset)
        try:
            while len(data) < size and (more := stream.read(size - len(data))):
                data += more
        except (OSError, EOFError):
            if not data:
                raise
    return data
