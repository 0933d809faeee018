"""Stores how far each file was read, in a form that survives renaming, rotation and another machine."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import NotRequired, TypedDict

from tokenmart.files import InputFile, Readable

HEAD_BYTES = 4096
TAIL_BYTES = 256
SKIP_BYTES = 1 << 20
PIPELINE, SOURCE = "tokenmart", "usage"  # the names under which dlt's state holds the checkpoints
MOST_CHECKPOINTS = 50_000  # about 250 bytes each, in every load's state; a forgotten file is only read again


class Checkpoint(TypedDict):
    """How far a file was read: `offset` bytes and `lines` lines, with the given format, when its name was `name`.

    `head` is a digest of the first bytes (a power of two of them), `tail` one of the TAIL_BYTES before the offset: a
    file with both begins with what was read, under any name. `latest` is the latest time (ISO 8601) of a line whose
    id was made from its content, NULL if there was none. `compressed` identifies a compressed file that was read to
    its end: see `compressed_digest`.
    """

    name: str
    offset: int
    lines: int
    format: str
    head: str
    tail: str
    latest: str | None
    compressed: NotRequired[str]


Update = tuple[Checkpoint, Checkpoint | None]
"""A file's new checkpoint, and the one it had before."""


def updated(stored: Mapping[str, Checkpoint], updates: Iterable[Update], files: int) -> dict[str, Checkpoint]:
    """The stored checkpoints by key after these updates, newest last.

    A new checkpoint replaces the earlier one of the same file. The oldest of too many are dropped, but none of this
    load's `files`: their lines would land again.
    """
    checkpoints = dict(stored)
    for checkpoint, before in updates:
        if before and before["name"] == checkpoint["name"]:
            checkpoints.pop(_key(before), None)
        checkpoints.pop(_key(checkpoint), None)
        checkpoints[_key(checkpoint)] = checkpoint
    while len(checkpoints) > max(MOST_CHECKPOINTS, files):
        del checkpoints[next(iter(checkpoints))]
    return checkpoints


def _key(checkpoint: Checkpoint) -> str:
    parts = [checkpoint["head"], str(checkpoint["offset"]), checkpoint["tail"]]
    return "-".join([*parts, *filter(None, [checkpoint.get("compressed")])])


def compressed_digest(file: InputFile, head: bytes, tail: bytes) -> str | None:
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


class Checkpoints:
    """The stored checkpoints, found by the first bytes of a file."""

    def __init__(self, stored: Mapping[str, Checkpoint]) -> None:
        self._by_head: dict[str, list[Checkpoint]] = {}
        self._by_compressed: dict[str, Checkpoint] = {}
        powers = set()
        for checkpoint in stored.values():
            self._by_head.setdefault(checkpoint["head"], []).append(checkpoint)
            powers.add(min(checkpoint["offset"], HEAD_BYTES).bit_length() - 1)
            if compressed := checkpoint.get("compressed"):
                self._by_compressed[compressed] = checkpoint
        self._powers = sorted(power for power in powers if power >= 0)

    def unchanged(self, compressed: str | None) -> Checkpoint | None:
        """The checkpoint of the compressed file with that `compressed_digest`."""
        return self._by_compressed.get(compressed) if compressed else None

    def find(self, head: bytes, read: Callable[[int, int], bytes]) -> tuple[Checkpoint | None, bytes]:
        """The furthest checkpoint of a file with these first bytes, and the bytes before it.

        `read(offset, size)` returns at most `size` bytes of the file. None, and no bytes, for a new file.
        """
        digests = [digest(head[: 1 << power]) for power in self._powers if 1 << power <= len(head)]
        candidates = [checkpoint for name in digests for checkpoint in self._by_head.get(name, ())]
        for checkpoint in sorted(candidates, key=lambda checkpoint: -checkpoint["offset"]):
            offset = checkpoint["offset"]
            tail = read(max(0, offset - TAIL_BYTES), min(offset, TAIL_BYTES))
            if digest(tail) == checkpoint["tail"]:
                return checkpoint, tail
        return None, b""


def skip(stream: Readable, size: int) -> None:
    """Moves a stream forward by `size` bytes, by seeking if possible, else by reading."""
    if hasattr(stream, "seek") and getattr(stream, "seekable", lambda: False)():
        stream.seek(size)
        return
    while size > 0 and (data := stream.read(min(size, SKIP_BYTES))):
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
