"""Finds the files that the user names, local or in a bucket, and opens each as a stream of decompressed bytes."""

import glob
import gzip
import os
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from io import BufferedReader, UnsupportedOperation
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from tokenmart.errors import TokenmartError, UsageError, without_secrets

SUFFIXES = (".jsonl", ".ndjson", ".log")
GZIP, ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
PIECE_BYTES = 16 << 10
COMPRESSED_SUFFIXES = (".gz", ".zst", ".zstd")
STANDARD_INPUT = "-"
STANDARD_INPUTS = (STANDARD_INPUT, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
SAMPLE_MARK = ".sample"
"""A hidden file with this name marks the files in and below its folder as samples."""
CHANGED_KEYS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")
PORT_SCHEMES = ("http", "https", "ftp", "sftp")


class Readable(Protocol):
    """Anything that bytes can be read from: a file, a decompressor, standard input."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class InputFile:
    """A file to read: `name` is how the user named it, `url` is where it is, `size` is its size on disk in bytes.

    The name of a URL has no user, password or query, so it may be shown and stored.
    `is_named` is true if the user named this file itself, not only its folder or a glob. A stream (standard input, a
    pipe, a device) can be read only once. `changed` is the file's modification time or version, None if unknown.
    `problem` says why the file is not read at all.
    """

    name: str
    url: str
    size: int
    is_named: bool = True
    is_stream: bool = False
    is_fifo: bool = False
    is_sample: bool = False
    changed: str | None = None
    problem: str | None = None

    @contextmanager
    def open_compressed(self) -> Iterator[Any]:
        """Opens a stream of its bytes as they are stored."""
        if self.url == STANDARD_INPUT:
            yield _standard_input()
        elif "://" in self.url:
            import fsspec

            try:
                with fsspec.open(self.url, "rb") as file:
                    yield file
            except ValueError as error:
                # an HTTP server sends no length, or ignores ranges
                raise OSError(f"the server does not send parts of it ({error}); download it first") from error
        elif self.is_stream:
            # closing a buffer would wait for a thread that reads it
            with Path(self.url).open("rb", buffering=0) as stream:
                yield BufferedReader(stream)
        else:
            with Path(self.url).open("rb") as file:
                yield file

    @contextmanager
    def open(self) -> Iterator[tuple[Readable, bool]]:
        """Yields a stream of its decompressed bytes, and whether it is compressed, as its first bytes say."""
        with ExitStack() as stack:
            raw = stack.enter_context(self.open_compressed())
            if self.is_stream:
                head = raw.peek(4)[:4]
            else:
                head = raw.read(4)
                raw.seek(0)
            if head.startswith(GZIP):
                yield _PartialReader(stack.enter_context(gzip.open(raw, "rb")).read1), True
            elif head.startswith(ZSTANDARD):
                import pyarrow as pa

                decompressed = stack.enter_context(pa.CompressedInputStream(pa.PythonFile(raw, mode="r"), "zstd"))
                yield _PartialReader(decompressed.read), True
            else:
                yield raw, False


def _standard_input() -> BufferedReader:
    """Standard input, opened separately: Python aborts at its end if a thread still reads sys.stdin."""
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except UnsupportedOperation:
        return BufferedReader(cast(Any, sys.stdin.buffer))


class _PartialReader:
    """Reads a compressed stream in pieces, so that the data before an error is not lost."""

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


def find(paths: Iterable[str], *, follow_links: bool = False) -> list[InputFile]:
    """The files that `paths` (files, folders, globs, fsspec URLs, '-') name, each once, ordered by name.

    A folder stands for the .jsonl, .ndjson and .log files in and below it, including compressed ones. A symbolic link
    that leads out of a folder or glob gets a `problem`, unless `follow_links` is set. Raises UsageError for a path that
    does not exist and for a folder without such files.
    """
    found: dict[str, InputFile] = {}
    for path in paths:
        if path in STANDARD_INPUTS:
            files = [InputFile("standard input", STANDARD_INPUT, 0, is_stream=True)]
        elif "://" in path and not os.path.lexists(path) and not path.startswith("file://"):
            files = _remote(path)
        else:
            files = _local(path.removeprefix("file://"), follow_links)
        for file in sorted(files, key=lambda file: file.name):
            found.setdefault(file.url, file)
    names: set[str] = set()
    samples: dict[str, bool] = {}
    files = []
    for file in found.values():
        name, number = file.name, 2
        # lines are counted by file name, so names are unique within a load
        while name in names:
            name, number = f"{file.name} ({number})", number + 1
        names.add(name)
        is_sample = not file.is_stream and file.url[0] == "/" and _is_sample(os.path.dirname(file.url), samples)  # noqa: PTH120
        files.append(replace(file, name=name, is_sample=is_sample) if is_sample or name != file.name else file)
    return files


def is_compressed(head: bytes) -> bool:
    """Whether a file that begins with these bytes is compressed with gzip or zstd."""
    return head.startswith((GZIP, ZSTANDARD))


def _is_sample(folder: str, known: dict[str, bool]) -> bool:
    if folder not in known:
        parent = os.path.dirname(folder)  # noqa: PTH120 - once for every folder of 5,000 files
        known[folder] = (Path(folder) / SAMPLE_MARK).exists() or (parent != folder and _is_sample(parent, known))
    return known[folder]


def _local(path: str, follow_links: bool) -> list[InputFile]:
    here = Path(path)
    if not os.path.lexists(here):
        try:
            here = here.expanduser()
        except RuntimeError:
            # it begins with a tilde, but no such user exists
            here = Path(path)
    if here.is_dir():
        files = list(_below(str(here), follow_links))
        if not files:
            raise UsageError(
                f"{_shown(path)}: this folder has no {', '.join(SUFFIXES)} files.", "Name the files themselves."
            )
    elif here.exists():
        return [_named(here)]
    else:
        files = _matching(here, follow_links)
        if not files:
            raise _missing(path)
    return files


def _missing(path: str) -> UsageError:
    return UsageError(f"{_shown(path)}: no such file.", "Check the path. Quote globs that the shell should not expand.")


def _named(path: Path) -> InputFile:
    """A file that the user named. Anything but a regular file is a stream that can be read only once."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise _missing(str(path)) from error
    if stat.S_ISREG(found.st_mode):
        return _regular(str(path), os.path.realpath(path), found, is_named=True)
    is_fifo = stat.S_ISFIFO(found.st_mode) and not str(path).startswith(("/dev/fd/", "/proc/"))
    return InputFile(_shown(str(path)), str(path.absolute()), 0, is_stream=True, is_fifo=is_fifo)


def _regular(name: str, real: str, found: os.stat_result, *, is_named: bool = False) -> InputFile:
    return InputFile(_shown(name), real, found.st_size, is_named, changed=str(found.st_mtime_ns))


def _if_there(name: str, real: str) -> Iterator[InputFile]:
    """A file that was listed, unless it has been rotated away since."""
    with suppress(FileNotFoundError):
        yield _regular(name, real, os.stat(real))  # noqa: PTH116


def _below(folder: str, follow_links: bool) -> Iterator[InputFile]:
    """The log files in and below a folder. No folder is read twice, even if several links lead to it."""
    top = os.path.realpath(folder)
    waiting, seen = [(folder, top)], set()
    while waiting:
        named, real = waiting.pop()
        if real in seen:
            continue
        seen.add(real)
        try:
            entries = list(os.scandir(real))
        except FileNotFoundError:
            continue
        except OSError as error:
            yield InputFile(_shown(named), real, 0, is_named=True, problem=f"{_shown(named)}: {error.strerror}")
            continue
        for entry in entries:
            name, place = os.path.join(named, entry.name), entry.path  # noqa: PTH118
            if entry.is_symlink():
                place = os.path.realpath(place)
                if not (Path(place).is_dir() or (_is_log(entry.name) and Path(place).is_file())):
                    continue
                if not follow_links and not _is_within(place, top):
                    yield _left_out(name)
                elif not Path(place).is_dir():
                    yield from _if_there(name, place)
                elif not _is_within(place, top):
                    waiting.append((name, place))
            elif entry.is_dir():
                waiting.append((name, place))
            elif _is_log(entry.name) and entry.is_file():
                yield from _if_there(name, place)


def _matching(pattern: Path, follow_links: bool) -> list[InputFile]:
    """The files that match a glob. `**` does not follow links to folders."""
    literal = len(pattern.parts)
    literal = next((i for i, part in enumerate(pattern.parts) if glob.has_magic(part)), literal)
    root, rest = Path(*pattern.parts[:literal]), pattern.parts[literal:]
    if not rest:
        return []
    if "**" in rest:
        found: Iterable[Path] = root.glob("/".join([*rest, "*"] if rest[-1] == "**" else rest))
        if not any(part.startswith(".") for part in rest):
            # like a shell, without hidden files
            found = (path for path in found if not any(part[0] == "." for part in path.relative_to(root).parts))
    else:
        found = map(Path, glob.glob(str(pattern)))  # noqa: PTH207 - leaves out hidden files
    top = os.path.realpath(root)
    files: list[InputFile] = []
    for path in found:
        if path.is_file():
            real = os.path.realpath(path)
            is_out = not follow_links and not _is_within(real, top)
            files += [_left_out(str(path))] if is_out else _if_there(str(path), real)
    return files


def _left_out(name: str) -> InputFile:
    problem = f"{_shown(name)}: a symbolic link that leads out of the folder; use --follow-links to read it"
    return InputFile(_shown(name), name, 0, is_named=False, problem=problem)


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _shown(name: str) -> str:
    r"""A file's name as text. Bytes that are not UTF-8 are shown as \xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _remote(path: str) -> list[InputFile]:
    shown = without_secrets(path)
    if path.partition("://")[0].lower() in PORT_SCHEMES:
        try:
            urlsplit(path).port  # noqa: B018 - which raises for a bad one
        except ValueError as error:
            raise UsageError(f"{shown}: the port is not a number from 0 to 65535.", "Check the URL.") from error
    import fsspec

    try:
        filesystem, inner = fsspec.url_to_fs(path)
        if glob.has_magic(inner):
            found = filesystem.glob(inner, detail=True)
        elif filesystem.isdir(inner):
            found = {name: info for name, info in filesystem.find(inner, detail=True).items() if _is_log(name)}
        else:
            found = {inner: filesystem.info(inner)} if filesystem.isfile(inner) else {}
    except (ImportError, OSError, ValueError) as error:
        raise UsageError(f"{shown}: {without_secrets(str(error))}", "Check the URL.") from error
    except Exception as error:
        raise TokenmartError(
            f"{shown}: {type(error).__name__}: {without_secrets(str(error))}", "Check the URL and your permissions."
        ) from error
    files = [(name, info) for name, info in found.items() if info.get("type") != "directory"]
    if not files:
        raise UsageError(f"{shown}: no files found.", "Check the bucket, the path and your permissions.")
    is_named = [name for name, _ in files] == [inner]
    return [
        InputFile(
            without_secrets(url := filesystem.unstrip_protocol(name)),
            url,
            info.get("size") or 0,
            is_named,
            changed=next((str(info[key]) for key in CHANGED_KEYS if info.get(key)), None),
        )
        for name, info in files
    ]


def _is_log(name: str) -> bool:
    stem = name
    for suffix in COMPRESSED_SUFFIXES:
        stem = stem.removesuffix(suffix)
    return stem.endswith(SUFFIXES)
