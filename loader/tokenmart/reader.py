"""Reads the new lines of files and turns them into rows for the raw tables, many small files at once."""

import datetime as dt
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property

import pyarrow as pa
import pyarrow.compute as pc

from tokenmart import contract, positions
from tokenmart.ahead import ahead
from tokenmart.errors import without_secrets
from tokenmart.files import InputFile, is_packed
from tokenmart.formats import Parser
from tokenmart.identity import Identities
from tokenmart.lines import BATCH_BYTES, TAIL_BYTES, Batch, batches
from tokenmart.parse import Parsed, parse
from tokenmart.positions import Position, Positions
from tokenmart.unmapped import Keep

SAMPLED_LINES = 200
COUNTED_KEYS = 100
_COUNTED = f"""
    with
        counted as (select file, key, reason, sum(lines) as lines from batch group by all),
        ranked as (
            select *, row_number() over (partition by file order by lines desc, key, reason) as rank from counted
        )
    select
        file,
        case when rank <= {COUNTED_KEYS} then key else '(other keys)' end as key,
        reason,
        cast(sum(lines) as bigint) as lines
    from ranked
    group by all
    order by all
"""


@dataclass(frozen=True)
class Options:
    """How to read. `format` is a name or the path of a .sql file, None to recognize it; the rest are options."""

    format: str | None = None
    time_zone: str = "UTC"
    keep_content: bool = False
    keep_keys: tuple[str, ...] = ()
    final: bool = False
    again: bool = False


@dataclass
class FileLoad:
    """The result of one file: landed + skipped + rejected = read.

    `is_named` is true if the user named this file itself; `waiting` counts the bytes of a last line without a newline;
    `problem` says why the file was not, or not completely, read; `is_foreign` means that a rule left the file out, or
    that its format is unknown.
    """

    name: str
    is_named: bool = True
    format: str | None = None
    read: int = 0
    landed: int = 0
    skipped: int = 0
    rejected: int = 0
    bytes: int = 0
    waiting: int = 0
    problem: str | None = None
    is_foreign: bool = False
    is_sample: bool = False


@dataclass
class Load:
    """The result of a load. `reasons` counts rejected lines; `places` has the first file and line of each reason.

    `location` is the warehouse; `samples` counts the sample events in it, if other files were loaded.
    """

    load_id: str | None = None
    location: str | None = None
    samples: int = 0
    files: list[FileLoad] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def total(self, count: str) -> int:
        """The sum of one count (read, landed, skipped, rejected, bytes) over the files."""
        return sum(getattr(file, count) for file in self.files)


@dataclass
class _Source:
    """A file while it is read: where this load began and how far it has read, in bytes and lines.

    `head` is its first bytes, `tail` those before `end`, `tail_before` those before `start`, `before` the position from
    earlier loads, `packed` the digest that identifies a compressed file. An unchanged file has nothing new and is not
    opened again.
    """

    file: InputFile
    done: FileLoad
    format: str | None
    head: bytes = b""
    tail: bytes = b""
    tail_before: bytes = b""
    before: Position | None = None
    start: int = 0
    end: int = 0
    lines_before: int = 0
    packed: str | None = None
    is_unchanged: bool = False


Progress = Callable[[int, int], None]
"""Called with the bytes and the lines read since the last call."""


class Reader:
    """Reads files one after the other. `done` is the result so far; `is_parsing` is true while lines are parsed."""

    def __init__(self, options: Options, progress: Progress) -> None:
        """Raises UsageError if the format or the time zone does not exist."""
        self.done = Load()
        self.is_parsing = False
        self._options = options
        self._progress = progress
        if options.format:
            self._parser.format(options.format)
        elif options.time_zone != "UTC":
            self._parser  # noqa: B018 - raises for an unknown time zone
        self._identities = Identities(lambda number: _batches_before(self._sources[number]))
        self._sources: list[_Source] = []
        self._omitted: list[pa.Table] = []

    @cached_property
    def _loaded_at(self) -> pa.Scalar:
        # Arrow's first conversion imports pandas if it is installed
        return pa.scalar(dt.datetime.now(dt.UTC), pa.timestamp("us", "UTC"))

    @cached_property
    def _parser(self) -> Parser:
        # not started if nothing is new
        keep = Keep(self._options.keep_content, self._options.keep_keys)
        return Parser(time_zone=self._options.time_zone, keep=keep)

    def tables(self, files: Sequence[InputFile], known: dict[str, Position]) -> Iterator[tuple[str, pa.Table]]:
        """Yields (name of a raw table, rows for it), and updates the positions in `known` at the end."""
        table = Positions(known)
        waiting: list[tuple[int, Batch]] = []
        held = 0
        for file in files:
            source = self._begin(file, table)
            for batch in self._batches(source):
                # small files are parsed together, up to the size of a batch
                size = batch.end - batch.start
                if waiting and (self._sources[waiting[0][0]].format != source.format or held + size > BATCH_BYTES):
                    yield from self._parsed(waiting)
                    waiting, held = [], 0
                waiting, held = [*waiting, (len(self._sources) - 1, batch)], held + size
                if held >= BATCH_BYTES:
                    yield from self._parsed(waiting)
                    waiting, held = [], 0
        if waiting:
            yield from self._parsed(waiting)
        read = [number for number, source in enumerate(self._sources) if source.end > source.start]
        misread = self._conclude(read)
        if read:
            yield "loaded_files", self._files(read)
        if self._omitted:
            yield "omitted_values", self._omitted_values()
        for number in read:
            source = self._sources[number]
            if number in misread:
                # the next load reads these lines again
                if source.before:
                    positions.remember(known, source.before, source.before)
            elif not source.file.is_stream:
                latest = self._identities.latest.get(number)
                position = Position(
                    name=source.file.name,
                    offset=source.end,
                    lines=source.lines_before + source.done.read,
                    format=str(source.format),
                    head=positions.head_digest(source.head[: source.end]),
                    tail=positions.digest(source.tail),
                    latest=latest.isoformat() if latest else None,
                )
                positions.remember(known, _with_packed(position, source), source.before)
        for source in self._sources:
            # a file with nothing new may share its position with an equal file that has just moved it
            if source.before and source.end == source.start:
                positions.remember(known, _with_packed(source.before, source), source.before)
        positions.forget(known, len(self._sources))

    def preview(self, file: InputFile, known: dict[str, Position], rows: int) -> tuple[FileLoad, int, Parsed | None]:
        """How the first new lines of a file would be loaded: at most `rows` events and `rows` rejected lines.

        The number is the byte offset at which the load would begin.
        """
        source = self._begin(file, Positions(known))
        source.done.format = source.format and self._parser.format(source.format).name
        for batch in self._batches(source):
            lines = pa.chunked_array(batch.lines[:SAMPLED_LINES].chunks, batch.lines.type)
            is_overlong = pa.chunked_array([pa.repeat(batch.is_overlong, len(lines))])
            parsed = parse(lines, is_overlong, self._parser.format(str(source.format)), self._parser)
            return source.done, source.start, Parsed(parsed.events[:rows], parsed.rejected[:rows], parsed.omitted)
        return source.done, source.start, None

    def _begin(self, file: InputFile, known: Positions) -> _Source:
        """Looks up how far a file was read before, and appends it to `_sources`."""
        done = FileLoad(file.name, file.is_named, problem=file.problem, is_sample=file.is_sample)
        # a file that is left out by a rule is no failure
        done.is_foreign = file.problem is not None and not file.is_named
        self.done.files.append(done)
        source = _Source(file, done, self._options.format)
        self._sources.append(source)
        before, tail = None, b""
        try:
            if not file.is_stream and not done.problem:
                before, tail = self._read_before(source, known)
        except (OSError, EOFError) as error:
            done.problem = f"{file.name}: {without_secrets(str(error))}"
        # a format other than last time's reads the same lines differently
        if before and self._options.format in (None, before["format"]):
            source.before, source.tail_before, source.format = before, tail, before["format"]
            source.start = source.end = before["offset"]
            source.lines_before = before["lines"]
        else:
            source.is_unchanged = False
        latest = source.before["latest"] if source.before else None
        self._identities.begin(len(self._sources) - 1, dt.datetime.fromisoformat(latest) if latest else None)
        return source

    def _read_before(self, source: _Source, known: Positions) -> tuple[Position | None, bytes]:
        """How far a file was read before, and the bytes before that position; completes `source`."""
        file = source.file
        with file.open_packed() as raw:
            head = raw.read(positions.HEAD_BYTES)
            if is_packed(head):
                raw.seek(max(0, file.size - positions.HEAD_BYTES))
                source.packed = positions.packed_digest(file, head, raw.read(positions.HEAD_BYTES))
                before = None if self._options.again else known.unchanged(source.packed)
                if before and self._options.format in (None, before["format"]):
                    source.is_unchanged = True
                    return before, b""
                source.head = positions.read(file, 0, positions.HEAD_BYTES)

                def read(offset: int, size: int) -> bytes:
                    return positions.read(file, offset, size)
            else:
                source.head = head

                def read(offset: int, size: int) -> bytes:
                    raw.seek(offset)
                    return bytes(raw.read(size))

            if not source.head or self._options.again:
                return None, b""
            before, tail = known.find(source.head, read)
            if before and not source.packed:
                source.is_unchanged = raw.seek(0, os.SEEK_END) == before["offset"]
            return before, tail

    def _batches(self, source: _Source) -> Iterator[Batch]:
        """The new lines of a file. An error that stops reading becomes its `problem`."""
        if source.done.problem:
            return
        if source.is_unchanged:
            self._progress(source.file.size, 0)
            return
        self._progress(source.start, 0)
        try:
            with ExitStack() as stack:
                stream, is_packed = stack.enter_context(source.file.open())
                positions.skip(stream, source.start)
                # nothing is appended to a compressed file or to a stream that has ended
                final = self._options.final or is_packed or source.file.is_stream
                found = batches(stream, offset=source.start, line=source.lines_before, final=final)
                for batch in stack.enter_context(ahead(found)):
                    if source.format is None:
                        source.format = self._recognized(batch, source.file)
                    elif not source.before and not source.done.read:
                        self._check_format(source.format, batch, source.file)
                    source.done.format = self._parser.format(source.format).name
                    source.done.read += len(batch.lines)
                    source.done.bytes += batch.end - batch.start
                    source.end = batch.end
                    source.tail = (source.tail_before + batch.tail)[-TAIL_BYTES:]
                    yield batch
                    self._progress(batch.end - batch.start, len(batch.lines))
                if not final:
                    source.done.waiting = max(source.file.size - source.end, 0)
        except (OSError, EOFError, _UnknownFormatError) as error:
            after = f" after line {source.lines_before + source.done.read}" if source.done.read else ""
            source.done.problem = f"{source.file.name}{after}: {without_secrets(str(error))}"
            source.done.is_foreign = isinstance(error, _UnknownFormatError)

    def _recognized(self, batch: Batch, file: InputFile) -> str:
        lines = _texts(batch)
        try:
            name, _ = self._parser.recognize(lines)
        except ValueError as error:
            raise _UnknownFormatError(str(error)) from error
        if name is None:
            raise _UnknownFormatError(unrecognized(lines, may_quote=file.is_named))
        return name

    def _check_format(self, name: str, batch: Batch, file: InputFile) -> None:
        """Raises _UnknownFormatError if the format given by the user recognizes none of the first lines."""
        lines = [line for line in _texts(batch) if line.lstrip().startswith("{")]
        if not lines or not self._parser.format(name).has_recognizer or self._parser.recognized(name, lines):
            return
        try:
            other, _ = self._parser.recognize(lines)
        except ValueError as error:
            raise _UnknownFormatError(f"not {name}: {error}") from error
        what = f"it looks like {other}" if other else unrecognized(lines, may_quote=file.is_named)
        raise _UnknownFormatError(f"not {name}: {what}")

    def _parsed(self, waiting: Sequence[tuple[int, Batch]]) -> list[tuple[str, pa.Table]]:
        """Parses batches of one format, from any files."""
        self.is_parsing = True
        try:
            return list(self._rows(waiting))
        finally:
            self.is_parsing = False

    def _rows(self, waiting: Sequence[tuple[int, Batch]]) -> Iterator[tuple[str, pa.Table]]:
        origin = pa.table(
            {
                "file": _chained(pa.repeat(number, len(batch.lines)) for number, batch in waiting),
                "source_line": _chained(
                    pa.arange(batch.first_line, batch.first_line + len(batch.lines)) for _, batch in waiting
                ),
                "source_offset": _chained(chunk for _, batch in waiting for chunk in batch.offsets().chunks),
                "is_overlong": _chained(pa.repeat(batch.is_overlong, len(batch.lines)) for _, batch in waiting),
                "bytes": _chained(chunk for _, batch in waiting for chunk in batch.lines.chunks),
            }
        )
        format_ = self._parser.format(str(self._sources[waiting[0][0]].format))
        parsed = parse(origin["bytes"], origin["is_overlong"], format_, self._parser)
        events = self._identities.identify(parsed.events, origin["file"], origin["bytes"])
        if len(parsed.omitted):
            files = origin["file"].take(parsed.omitted["line_id"])
            self._omitted.append(self._counted(parsed.omitted.set_column(0, "file", files)))
        places = origin.select(["file", "source_line", "source_offset"])
        file_names = pa.array([source.file.name for source in self._sources])
        for name, table in (("events", events), ("rejected_lines", parsed.rejected)):
            place = places if len(table) == len(places) else places.take(table["line_id"])
            self._count(name, place["file"])
            if name == "rejected_lines":
                self._note(table, place)
            if len(table):
                for column, values in (
                    ("source_format", pa.repeat(format_.name, len(table))),
                    ("source_file", file_names.take(place["file"].combine_chunks())),
                    ("source_line", place["source_line"]),
                    ("source_offset", place["source_offset"]),
                    ("loaded_at", pa.repeat(self._loaded_at, len(table))),
                ):
                    table = table.append_column(column, values)
                yield name, table.select(list(contract.TABLES[name]))

    def _count(self, table: str, files: pa.ChunkedArray) -> None:
        for entry in pc.value_counts(files).to_pylist():
            done = self._sources[entry["values"]].done
            if table == "events":
                done.landed += entry["counts"]
            else:
                done.rejected += entry["counts"]

    def _note(self, rejected: pa.Table, places: pa.Table) -> None:
        for entry in pc.value_counts(rejected["reason"]).to_pylist():
            reason = entry["values"]
            self.done.reasons[reason] = self.done.reasons.get(reason, 0) + entry["counts"]
            if reason not in self.done.places:
                first = places.slice(pc.index(rejected["reason"], reason).as_py(), 1).to_pylist()[0]
                self.done.places[reason] = f"{self._sources[first['file']].file.name}:{first['source_line']}"

    def _conclude(self, read: Sequence[int]) -> set[int]:
        """Counts the skipped lines. Returns the files in which the user's own format skipped every line by mistake.

        In a folder, files without requests are normal, unless the load landed nothing at all.
        """
        misread = set()
        landed = self.done.total("landed")
        for number in read:
            done, format_ = self._sources[number].done, str(self._sources[number].format)
            done.skipped = done.read - done.landed - done.rejected
            has_recognizer = self._parser.format(format_).has_recognizer
            if not has_recognizer and done.skipped == done.read and (done.is_named or not landed):
                misread.add(number)
                if done.is_named and not done.problem:
                    done.problem = f"{done.name}: the format {done.format} skipped every line"
        return misread

    def _files(self, read: Sequence[int]) -> pa.Table:
        rows = [
            {
                "source_format": source.done.format,
                "source_file": source.file.name,
                "first_offset": source.start,
                "next_offset": source.end,
                "lines_read": source.done.read,
                "lines_landed": source.done.landed,
                "lines_skipped": source.done.skipped,
                "lines_rejected": source.done.rejected,
                "is_sample": source.file.is_sample,
                "loaded_at": self._loaded_at.as_py(),
            }
            for source in (self._sources[number] for number in read)
        ]
        return pa.Table.from_pylist(rows)

    def _counted(self, omitted: pa.Table) -> pa.Table:
        """The number of lines per file, key and reason."""
        columns = {name: omitted[name] for name in ("file", "key", "reason")}
        lines = omitted["lines"] if "lines" in omitted.column_names else pa.chunked_array([pa.repeat(1, len(omitted))])
        return self._parser.run(_COUNTED, lines=lines, **columns)

    def _omitted_values(self) -> pa.Table:
        counted = self._counted(pa.concat_tables(self._omitted))
        files = counted["file"].combine_chunks()
        columns = {
            "source_format": pa.array([source.done.format for source in self._sources], pa.string()).take(files),
            "source_file": pa.array([source.file.name for source in self._sources], pa.string()).take(files),
            "loaded_at": pa.repeat(self._loaded_at, len(counted)),
        }
        for name in ("key", "reason", "lines"):
            columns[name] = counted[name]
        return pa.table({name: columns[name] for name in contract.TABLES["omitted_values"]})


def _with_packed(position: Position, source: _Source) -> Position:
    """The position of a file, with the digest that identifies it if it is compressed and was read to its end."""
    if not source.packed or source.done.problem or position.get("packed") == source.packed:
        return position
    return {**position, "name": source.file.name, "packed": source.packed}


class _UnknownFormatError(Exception):
    """Raised if the format of a file could not be recognized."""


def head(file: InputFile) -> list[str]:
    """The first lines of a file, from which its format is recognized."""
    with file.open() as (stream, _):
        return next((_texts(batch) for batch in batches(stream, final=True)), [])


def unrecognized(lines: Sequence[str], *, may_quote: bool) -> str:
    """Why no format recognizes the first lines of a file, with the number of the line.

    The line is quoted only with `may_quote`: a file that was merely found in a folder may contain secrets.
    """
    number, line = next(((i, line) for i, line in enumerate(lines, 1) if line.strip()), (0, ""))
    if not number:
        return "empty"
    quoted = f": line {number} begins with {line[:40]!r}" if may_quote else f" (line {number})"
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return f"not JSON Lines{quoted}"
    if not isinstance(value, dict):
        return f"lines are not JSON objects{quoted}"
    keys = ", ".join(key[:40] for key in list(value)[:8])
    return (
        f"unknown format: line {number} has the keys {keys}. Set one with --format, or write your own (see the README)"
    )


def _texts(batch: Batch) -> list[str]:
    return [line.as_py().decode("utf-8", "replace") for line in batch.lines[:SAMPLED_LINES]]


def _chained(chunks: Iterator[pa.Array]) -> pa.ChunkedArray:
    return pa.chunked_array(list(chunks))


def _batches_before(source: _Source) -> Iterator[Batch]:
    """The lines of a file that earlier loads read."""
    with source.file.open() as (stream, _):
        for batch in batches(stream):
            if batch.end > source.start:
                kept = batch.lines.filter(pc.less(batch.offsets(), source.start))
                yield Batch(kept, batch.first_line, batch.start, source.start, b"")
                return
            yield batch
