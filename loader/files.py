"""Finds the files that a user means and opens them as one stream of decompressed bytes, here or in a bucket."""

import glob
import gzip
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa

from loader.errors import UsageError
from loader.lines import Readable

SUFFIXES = (".jsonl", ".ndjson", ".log")
GZIP, ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
PIECE_BYTES = 16 << 10
PACKED_SUFFIXES = (".gz", ".zst", ".zstd")
STANDARD_INPUT = "-"


@dataclass(frozen=True)
class InputFile:
    """A file to read: `name` is what the user called it, `url` is where fsspec finds it, `size` its bytes on disk.

    `is_named` where the user meant this very file, and did not just name its folder or a glob.
    """

    name: str
    url: str
    size: int
    is_named: bool = True

    @property
    def is_standard_input(self) -> bool:
        return self.url == STANDARD_INPUT

    @contextmanager
    def open(self) -> Iterator[tuple[Readable, bool]]:
        """A stream of its bytes, and whether they are unpacked on the way, as their first ones say."""
        with ExitStack() as stack:
            if self.is_standard_input:
                raw: Any = sys.stdin.buffer if hasattr(sys.stdin.buffer, "peek") else BufferedReader(sys.stdin.buffer)
                head = raw.peek(4)[:4]
            else:
                raw = stack.enter_context(fsspec.open(self.url, "rb"))
                head = raw.read(4)
                raw.seek(0)
            if head.startswith(GZIP):
                yield _Careful(stack.enter_context(gzip.open(raw, "rb")).read1), True
            elif head.startswith(ZSTANDARD):
                packed = stack.enter_context(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))
                yield _Careful(packed.read), True
            else:
                yield raw, False


class _Careful:
    """Reads a packed stream piece by piece, so that what comes before a fault is not lost with it."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._fault: Exception | None = None

    def read(self, size: int, /) -> bytes:
        pieces: list[bytes] = []
        while self._fault is None and size > 0:
            try:
                piece = self._read(min(size, PIECE_BYTES))
            except (OSError, EOFError, zlib.error) as error:
                self._fault = error
                break
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        if self._fault is not None and not pieces:
            raise OSError(str(self._fault)) from self._fault
        return b"".join(pieces)


def find(paths: Iterable[str]) -> list[InputFile]:
    """The files that `paths` (files, folders, globs, fsspec URLs, '-') name, each once, in the order of their names.

    A folder stands for the .jsonl, .ndjson and .log files in and below it, packed ones included. Raises UsageError for
    a path that leads nowhere and for a folder without such files.
    """
    found: dict[str, InputFile] = {}
    for path in paths:
        if path == STANDARD_INPUT:
            files = [InputFile("standard input", STANDARD_INPUT, 0)]
        elif "://" in path:
            files = _remote(path)
        else:
            files = _local(path)
        for file in sorted(files, key=lambda file: file.name):
            found.setdefault(file.url, file)
    return list(found.values())


def _local(path: str) -> list[InputFile]:
    here = Path(path).expanduser()
    is_named = here.is_file()
    if here.is_dir():
        files = sorted(file for file in here.rglob("*") if _is_log(file.name) and file.is_file())
        if not files:
            raise UsageError(f"{path}: no {', '.join(SUFFIXES)} file in this folder.", "Name the files themselves.")
    elif here.exists():
        files = [here]
    else:
        # not Path.glob: the pattern may be absolute
        files = [Path(name) for name in glob.glob(str(here), recursive=True) if Path(name).is_file()]  # noqa: PTH207
        if not files:
            raise UsageError(f"{path}: no such file.", "Check the path; quote a glob that the shell should not expand.")
    return [InputFile(str(file), str(file.resolve()), file.stat().st_size, is_named) for file in files]


def _remote(path: str) -> list[InputFile]:
    try:
        filesystem, inner = fsspec.url_to_fs(path)
        names = filesystem.glob(inner) if glob.has_magic(inner) else [inner]
        if names == [inner] and filesystem.isdir(inner):
            names = [name for name in filesystem.find(inner) if _is_log(name)]
        files = [name for name in names if filesystem.isfile(name)]
    except (ImportError, OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    if not files:
        raise UsageError(f"{path}: nothing there to read.", "Check the bucket, the path and your rights to it.")
    urls = [filesystem.unstrip_protocol(name) for name in files]
    is_named = files == [inner]
    return [InputFile(url, url, filesystem.size(name) or 0, is_named) for url, name in zip(urls, files, strict=True)]


def _is_log(name: str) -> bool:
    stem = name
    for suffix in PACKED_SUFFIXES:
        stem = stem.removesuffix(suffix)
    return stem.endswith(SUFFIXES)
