"""Finds the local files and bucket files that the user names, and opens each as a stream of decompressed bytes."""

import datetime as dt
import glob
import gzip
import os
import re
import stat
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from io import BufferedReader, UnsupportedOperation
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from tokenmart.errors import TokenmartError, UsageError, without_secrets

SUFFIXES = (".jsonl", ".ndjson", ".log")
DATABASE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
JSON_LOG = re.compile(r"/(?:chats/session-[^/]+|storage/message/(?:[^/]+/)?[^/]+)[.]json$")
"""The .json files that are read in folders: chats of Gemini CLI and messages of opencode. Others are seldom logs."""
GZIP, ZSTANDARD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
SQLITE = b"SQLite format 3\0"
CHUNK_BYTES = 16 << 10
COMPRESSED_SUFFIXES = (".gz", ".zst", ".zstd")
STANDARD_INPUT = "-"
STANDARD_INPUTS = (STANDARD_INPUT, "/dev/stdin", "/dev/fd/0", "/proc/self/fd/0")
SAMPLE_MARK = ".sample"
"""A hidden file with this name marks the files in and below its folder as samples."""
VERSION_KEYS = ("ETag", "etag", "mtime", "LastModified", "last_modified", "updated", "created")
POSTGRESQL_SCHEMES = ("postgresql://", "postgres://")
PORT_SCHEMES = ("http", "https", "ftp", "sftp")


class Readable(Protocol):
    """A stream of bytes: a file, a decompressor or standard input."""

    def read(self, size: int, /) -> bytes: ...


@dataclass(frozen=True)
class InputFile:
    """A file to read.

    `name` is the path or URL that the user gave. Users, passwords and queries are removed from URLs, so the name can be
    shown and stored. `url` is the location of the file, and `size` its stored size in bytes. `is_named` is true if the
    user named this file itself, not only its folder or a glob. A stream (standard input, a pipe or a device) can be
    read only once. `changed` is the modification time or version of the file, None if unknown. `problem` is the reason
    why the file is not read. `dsn` is the connection string of a PostgreSQL database, whose `url` is its name; it can
    contain a password.
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
    dsn: str | None = field(default=None, repr=False)

    @property
    def is_store(self) -> bool:
        """Whether this is a database, or has the name of one."""
        return self.dsn is not None or self.url.endswith(DATABASE_SUFFIXES)

    @property
    def modified_at(self) -> dt.datetime | None:
        """When the file was last changed, in UTC; None if that is unknown."""
        try:
            return dt.datetime.fromtimestamp(int(self.changed or "") / 1e9, dt.UTC)
        except (OverflowError, ValueError):
            return None

    @contextmanager
    def open_compressed(self) -> Iterator[Any]:
        """Opens the file as a stream of its stored bytes, without decompression. Raises OSError."""
        if self.url == STANDARD_INPUT:
            yield _standard_input()
        elif "://" in self.url:
            import fsspec

            try:
                with fsspec.open(self.url, "rb") as file:
                    yield file
            except ValueError as error:
                # the HTTP server sends no length, or ignores ranges
                raise OSError(f"the server cannot send parts of the file ({error}); download the file first") from error
        elif self.is_stream:
            # without its own buffer: closing one waits for a thread that reads from it
            with Path(self.url).open("rb", buffering=0) as stream:
                yield BufferedReader(stream)
        else:
            with Path(self.url).open("rb") as file:
                yield file

    @contextmanager
    def open(self) -> Iterator[tuple[Readable, bool]]:
        """Yields a stream of decompressed bytes, and whether the file is compressed, which its first bytes show."""
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
    """Standard input, opened separately: Python aborts on exit if a thread still reads sys.stdin."""
    try:
        return open(sys.stdin.fileno(), "rb", closefd=False)
    except UnsupportedOperation:
        return BufferedReader(cast(Any, sys.stdin.buffer))


class _PartialReader:
    """Reads a compressed stream in small chunks, so that the data before an error is not lost."""

    def __init__(self, read: Callable[[int], bytes]) -> None:
        self._read = read
        self._error: Exception | None = None

    def read(self, size: int, /) -> bytes:
        chunks: list[bytes] = []
        while self._error is None and size > 0:
            try:
                chunk = self._read(min(size, CHUNK_BYTES))
            except (OSError, EOFError, zlib.error) as error:
                self._error = error
                break
            if not chunk:
                break
            chunks.append(chunk)
            size -= len(chunk)
        if self._error is not None and not chunks:
            raise OSError(str(self._error)) from self._error
        return b"".join(chunks)


def find(paths: Iterable[str], *, follow_links: bool = False, table: str | None = None) -> list[InputFile]:
    """Finds the files that `paths` name: files, folders, globs, fsspec URLs, postgresql:// URLs and '-' (stdin).

    Each file is returned once, and the files of a path are ordered by name. A folder means the .jsonl, .ndjson and .log
    files in and below it, including compressed ones, and its .db, .sqlite and .sqlite3 databases. A symbolic link that
    leads out of a folder or glob gets a `problem`, unless `follow_links` is true. `table` is the table of a PostgreSQL
    database. Raises UsageError for a path that does not exist, for a folder without such files and for a PostgreSQL
    database without `table`, and TokenmartError if a bucket cannot be read.
    """
    found: dict[str, InputFile] = {}
    for path in paths:
        if path in STANDARD_INPUTS:
            files = [InputFile("standard input", STANDARD_INPUT, 0, is_stream=True)]
        elif path.startswith(POSTGRESQL_SCHEMES):
            files = [_postgresql(path, table)]
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
        # lines are counted by file name, so names must be unique within a load
        while name in names:
            name, number = f"{file.name} ({number})", number + 1
        names.add(name)
        is_local = not file.is_stream and file.url[0] == "/"
        is_sample = is_local and _is_sample(os.path.dirname(file.url), samples)  # noqa: PTH120
        files.append(replace(file, name=name, is_sample=is_sample) if is_sample or name != file.name else file)
    return files


def is_sqlite(head: bytes) -> bool:
    """Whether a file that begins with these bytes is a SQLite database."""
    return head.startswith(SQLITE)


def is_compressed(head: bytes) -> bool:
    """Whether a file that begins with these bytes is compressed with gzip or zstd."""
    return head.startswith((GZIP, ZSTANDARD))


def _is_sample(folder: str, known: dict[str, bool]) -> bool:
    if folder not in known:
        parent = os.path.dirname(folder)  # noqa: PTH120 - once for every folder of 5,000 files
        known[folder] = (Path(folder) / SAMPLE_MARK).exists() or (parent != folder and _is_sample(parent, known))
    return known[folder]


def _local(path: str, follow_links: bool) -> list[InputFile]:
    local_path = Path(path)
    if not os.path.lexists(local_path):
        try:
            local_path = local_path.expanduser()
        except RuntimeError:
            # the name begins with a tilde, but is not that of a user
            local_path = Path(path)
    if local_path.is_dir():
        files = list(_files_below(str(local_path), follow_links))
        if not files:
            raise UsageError(
                f"{_display_name(path)}: this folder has no {', '.join((*SUFFIXES, *DATABASE_SUFFIXES))} files.",
                "Give the paths of the files.",
            )
    elif local_path.exists():
        return [_named_file(local_path)]
    else:
        files = _glob_matches(local_path, follow_links)
        if not files:
            raise _missing(path)
    return files


def _missing(path: str) -> UsageError:
    return UsageError(
        f"{_display_name(path)}: no such file.", "Check the path. Quote globs that the shell should not expand."
    )


def _named_file(path: Path) -> InputFile:
    """A file that the user named. If it is not a regular file, it is a stream that can be read only once."""
    try:
        found = path.stat()
    except FileNotFoundError as error:
        raise _missing(str(path)) from error
    if stat.S_ISREG(found.st_mode):
        return _regular_file(str(path), os.path.realpath(path), found, is_named=True)
    is_fifo = stat.S_ISFIFO(found.st_mode) and not str(path).startswith(("/dev/fd/", "/proc/"))
    return InputFile(_display_name(str(path)), str(path.absolute()), 0, is_stream=True, is_fifo=is_fifo)


def _regular_file(name: str, real: str, found: os.stat_result, *, is_named: bool = False) -> InputFile:
    return InputFile(_display_name(name), real, found.st_size, is_named, changed=str(found.st_mtime_ns))


def _if_exists(name: str, real: str) -> Iterator[InputFile]:
    """A file of a listing, unless it has been removed since, for example by log rotation."""
    with suppress(FileNotFoundError):
        yield _regular_file(name, real, os.stat(real))  # noqa: PTH116


def _files_below(folder: str, follow_links: bool) -> Iterator[InputFile]:
    """The log files in and below a folder. Each folder is read once, even if several links lead to it."""
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
            yield InputFile(
                _display_name(named), real, 0, is_named=True, problem=f"{_display_name(named)}: {error.strerror}"
            )
            continue
        for entry in entries:
            name, path = os.path.join(named, entry.name), entry.path  # noqa: PTH118
            if entry.is_symlink():
                path = os.path.realpath(path)
                if not (Path(path).is_dir() or (_is_log(entry.name, path) and Path(path).is_file())):
                    continue
                if not follow_links and not _is_within(path, top):
                    yield _unfollowed_link(name)
                elif not Path(path).is_dir():
                    yield from _if_exists(name, path)
                elif not _is_within(path, top):
                    waiting.append((name, path))
            elif entry.is_dir():
                waiting.append((name, path))
            elif _is_log(entry.name, path) and entry.is_file():
                yield from _if_exists(name, path)


def _glob_matches(pattern: Path, follow_links: bool) -> list[InputFile]:
    """The files that match a glob. `**` does not follow symbolic links to folders."""
    literal = len(pattern.parts)
    literal = next((i for i, part in enumerate(pattern.parts) if glob.has_magic(part)), literal)
    root, rest = Path(*pattern.parts[:literal]), pattern.parts[literal:]
    if not rest:
        return []
    if "**" in rest:
        found: Iterable[Path] = root.glob("/".join([*rest, "*"] if rest[-1] == "**" else rest))
        if not any(part.startswith(".") for part in rest):
            # as in a shell, `**` does not match hidden files
            found = (path for path in found if not any(part[0] == "." for part in path.relative_to(root).parts))
    else:
        found = map(Path, glob.glob(str(pattern)))  # noqa: PTH207 - leaves out hidden files
    top = os.path.realpath(root)
    files: list[InputFile] = []
    for path in found:
        if path.is_file():
            real = os.path.realpath(path)
            is_outside = not follow_links and not _is_within(real, top)
            files += [_unfollowed_link(str(path))] if is_outside else _if_exists(str(path), real)
    return files


def _unfollowed_link(name: str) -> InputFile:
    problem = f"{_display_name(name)}: a symbolic link that leads out of the folder; use --follow-links to read it"
    return InputFile(_display_name(name), name, 0, is_named=False, problem=problem)


def _is_within(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def _display_name(name: str) -> str:
    r"""The name of a file as text. Bytes that are not valid UTF-8 are shown as escapes such as \xe9."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def _remote(path: str) -> list[InputFile]:
    shown = without_secrets(path)
    if path.partition("://")[0].lower() in PORT_SCHEMES:
        try:
            urlsplit(path).port  # noqa: B018 - raises ValueError
        except ValueError as error:
            raise UsageError(f"{shown}: the port is not a number from 0 to 65535.", "Check the URL.") from error
    import fsspec

    try:
        filesystem, inner = fsspec.url_to_fs(path)
        if glob.has_magic(inner):
            found = filesystem.glob(inner, detail=True)
        elif filesystem.isdir(inner):
            found = {
                name: info for name, info in filesystem.find(inner, detail=True).items() if _is_log(name, f"/{name}")
            }
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
            changed=next((str(info[key]) for key in VERSION_KEYS if info.get(key)), None),
        )
        for name, info in files
    ]


def _postgresql(url: str, table: str | None) -> InputFile:
    from tokenmart.postgres_store import parse_url

    database = parse_url(url)
    if not table:
        raise UsageError(
            f"{database.name}: there is no --table, which a database needs.",
            "Use tokenmart load with --table token_ledger_events (TokenLedger) or --table LiteLLM_SpendLogs (LiteLLM).",
        )
    name = f"{database.name}/{table}"
    return InputFile(name, name, 0, dsn=database.dsn)


def _is_log(name: str, path: str) -> bool:
    """Whether a file in a folder is read; `path` is its real path."""
    stem = name
    for suffix in COMPRESSED_SUFFIXES:
        stem = stem.removesuffix(suffix)
    return stem.endswith(SUFFIXES) or name.endswith(DATABASE_SUFFIXES) or bool(JSON_LOG.search(path))
