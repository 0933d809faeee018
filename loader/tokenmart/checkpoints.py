"""Checkpoints: stored read positions of files, which stay valid after renaming, rotation and on another machine."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NotRequired, TypedDict

from tokenmart.files import InputFile, Readable

HEAD_BYTES = 4096
TAIL_BYTES = 256
SKIP_BYTES = 1 << 20
PIPELINE, SOURCE = "tokenmart", "usage"  # the keys of the checkpoints in dlt's state
MOST_CHECKPOINTS = 50_000  # about 250 bytes each, stored with every load; a file without a checkpoint is read again


Anchor = Sequence[Any]
"""A row of a SQLite table: its rowid, and a digest of its key."""


class StorePosition(TypedDict):
    """How far a table of a store (a database) was read.

    `table` identifies the table. `anchors` are the last row of a SQLite table and rows before it, the last first.
    `time` is the latest time of a row, in the unit of the table, if its rows can change. `recent` are digests of the
    rows that the next load reads again. `xmin` is the first PostgreSQL transaction that may have been open.
    """

    table: str
    anchors: list[Anchor]
    time: int | None
    recent: list[str]
    xmin: int | None


class Checkpoint(TypedDict):
    """The read position of a file: `offset` in bytes and `lines` in lines, of the decompressed content.

    `name` and `format` are those of the last load that read the file. `head` is a digest of the first bytes, whose
    number is a power of two, and `tail` a digest of the TAIL_BYTES before `offset`. A file with both digests begins
    with the content that was read, whatever its name. `latest` is the latest time (ISO 8601) of a line whose id was
    computed from its content, or None. `compressed` is the `compressed_digest` of a compressed file that was read to
    its end. `context` is what the lines before `offset` have stated (JSON), for a format that needs it. In the
    checkpoint of a store, `offset` is the position after the last row, `lines` are rows, and `head` and `tail` are
    digests of the table and its last row.
    """

    name: str
    offset: int
    lines: int
    format: str
    head: str
    tail: str
    latest: str | None
    compressed: NotRequired[str]
    context: NotRequired[str]
    store: NotRequired[StorePosition]


Update = tuple[Checkpoint, Checkpoint | None]
"""The new checkpoint of a file, and its previous one."""


def with_updates(stored: Mapping[str, Checkpoint], updates: Iterable[Update], files: int) -> dict[str, Checkpoint]:
    """The stored checkpoints by key, with these updates applied, newest last.

    A new checkpoint replaces the previous one of the same file. If there are more than MOST_CHECKPOINTS, the oldest are
    dropped. The checkpoints of this load, whose number of files is `files`, are always kept: otherwise the next load
    would land the same lines again.
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
    """A digest of the size, the modification time and the first and last stored bytes of a compressed file.

    The last bytes matter because gzip ends with a checksum of the content. None if the time is unknown.
    """
    return digest(f"{file.size} {file.changed} ".encode() + head + tail) if file.changed else None


def head_digest(head: bytes) -> str:
    """The digest of the first bytes, of which the largest power of two is used."""
    return digest(head[: 1 << (len(head).bit_length() - 1)]) if head else digest(b"")


def digest(data: bytes) -> str:
    """A digest of some bytes: 24 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=12).hexdigest()


class Checkpoints:
    """Looks up the checkpoint of a file by its first bytes. `stored` are the checkpoints by key."""

    def __init__(self, stored: Mapping[str, Checkpoint]) -> None:
        self.stored = stored
        self._by_head: dict[str, list[Checkpoint]] = {}
        self._by_compressed: dict[str, Checkpoint] = {}
        powers = set()
        for checkpoint in stored.values():
            if "store" in checkpoint:
                continue
            self._by_head.setdefault(checkpoint["head"], []).append(checkpoint)
            powers.add(min(checkpoint["offset"], HEAD_BYTES).bit_length() - 1)
            if compressed := checkpoint.get("compressed"):
                self._by_compressed[compressed] = checkpoint
        self._powers = sorted(power for power in powers if power >= 0)

    def unchanged(self, compressed: str | None) -> Checkpoint | None:
        """The checkpoint of the compressed file with this `compressed_digest`; None if there is none."""
        return self._by_compressed.get(compressed) if compressed else None

    def find(self, head: bytes, read: Callable[[int, int], bytes]) -> tuple[Checkpoint | None, bytes]:
        """The checkpoint with the largest offset for a file with these first bytes, and the bytes before that offset.

        `read(offset, size)` returns at most `size` bytes of the file. Returns None and no bytes for a new file.
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
    """Moves a stream from its start to byte `size`, by seeking if possible, otherwise by reading."""
    if hasattr(stream, "seek") and getattr(stream, "seekable", lambda: False)():
        stream.seek(size)
        return
    while size > 0 and (data := stream.read(min(size, SKIP_BYTES))):
        size -= len(data)


def read(file: InputFile, offset: int, size: int) -> bytes:
    """At most `size` decompressed bytes of a file, starting at `offset`; fewer if the file is truncated.

    Raises OSError or EOFError if an error occurs before the first byte.
    """
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
