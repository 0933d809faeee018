"""Lands the new lines of files in the warehouse: DuckDB parses them into Arrow, dlt carries that to raw_usage."""

import datetime as dt
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from loader import contract, positions
from loader.errors import TokenmartError
from loader.files import InputFile
from loader.formats import Format, names, read_format, recognise
from loader.identity import Identities
from loader.lines import Batch, batches
from loader.parse import Parsed, parse
from loader.pipeline import open_pipeline
from loader.positions import Position
from loader.profile import Target

SAMPLED_LINES = 200


@dataclass(frozen=True)
class Options:
    """How to read: `format` is a name or the path of a .sql file, None to recognise it; the rest as the command's."""

    format: str | None = None
    time_zone: str = "UTC"
    keep_content: bool = False
    final: bool = False
    again: bool = False


@dataclass
class FileLoad:
    """What became of one file: landed + skipped + rejected = read. `problem` says why it was not (wholly) read."""

    name: str
    format: str | None = None
    read: int = 0
    landed: int = 0
    skipped: int = 0
    rejected: int = 0
    bytes: int = 0
    problem: str | None = None


@dataclass
class Load:
    """What a load did. `reasons` counts rejected lines, `places` holds the first file and line of each reason."""

    load_id: str | None = None
    files: list[FileLoad] = field(default_factory=list)
    reasons: dict[str, int] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)

    def total(self, count: str) -> int:
        """The sum of one count (read, landed, skipped, rejected, bytes) over the files."""
        return sum(getattr(file, count) for file in self.files)


Progress = Callable[[int, int], None]
"""Is told the bytes and the lines that were read since it was told last."""


def load(files: Sequence[InputFile], target: Target, options: Options, progress: Progress) -> Load:
    """Lands what is new in `files`. Raises TokenmartError where the warehouse cannot be reached or refuses.

    A file that cannot be read is left out, with its `problem`; the others are loaded all the same.
    """
    done = Load()
    reader = Reader(options, done, progress)
    with open_pipeline(target) as pipeline:
        done.load_id = pipeline.run(lambda known: reader.tables(files, known))
    return done


class Reader:
    """Reads files one after the other, and keeps the formats that it has prepared."""

    def __init__(self, options: Options, done: Load, progress: Progress) -> None:
        self._options = options
        self._done = done
        self._progress = progress
        self._formats: dict[str, Format] = {}
        self._loaded_at = dt.datetime.now(dt.UTC)
        if options.format:
            self._format(options.format)

    def tables(self, files: Sequence[InputFile], known: dict[str, Position]) -> Iterator[tuple[str, pa.Table]]:
        """Yields (name of a raw table, rows for it), and moves the positions in `known` on."""
        for file in files:
            yield from self._read(file, known)

    def _read(self, file: InputFile, known: dict[str, Position]) -> Iterator[tuple[str, pa.Table]]:
        done = FileLoad(file.name)
        self._done.files.append(done)
        before = None if file.is_standard_input or self._options.again else positions.find(file, known.values())
        if before and self._options.format not in (None, before["format"]):
            before = None
        start, lines = (before["offset"], before["lines"]) if before else (0, 0)
        end = start
        identities = Identities(
            earlier=lambda: _batches_before(file, start),
            latest=dt.datetime.fromisoformat(before["latest"]) if before and before["latest"] else None,
        )
        format_ = self._format(self._options.format or before["format"]) if self._options.format or before else None
        self._progress(start, 0)
        try:
            with file.open() as stream:
                positions.skip(stream, start)
                final = self._options.final or file.is_standard_input
                for batch in batches(stream, offset=start, line=lines, final=final):
                    format_ = format_ or self._recognised(batch)
                    parsed = parse(batch, format_)
                    events = identities.identify(batch, parsed.events)
                    end = batch.end
                    self._count(done, batch, parsed, format_)
                    yield from self._rows(file, format_, events, parsed.rejected)
                    self._progress(batch.end - batch.start, len(batch.lines))
        except (OSError, EOFError, ValueError) as error:
            done.problem = f"{file.name}{f' after line {lines + done.read}' if done.read else ''}: {error}"
        if format_ is None or end == start:
            return
        if not file.is_standard_input:
            latest = identities.latest.isoformat() if identities.latest else None
            known[file.name] = positions.position(
                file, offset=end, lines=lines + done.read, format_=format_.name, latest=latest
            )
        row = {
            "source_format": format_.name,
            "source_file": file.name,
            "first_offset": start,
            "next_offset": end,
            "lines_read": done.read,
            "lines_landed": done.landed,
            "lines_skipped": done.skipped,
            "lines_rejected": done.rejected,
            "loaded_at": self._loaded_at,
        }
        yield "loaded_files", pa.Table.from_pylist([row])

    def _format(self, name: str) -> Format:
        if name not in self._formats:
            self._formats[name] = read_format(
                name, time_zone=self._options.time_zone, keep_content=self._options.keep_content
            )
        return self._formats[name]

    def _recognised(self, batch: Batch) -> Format:
        """The format of a file by its first lines; raises ValueError where it is none or more than one."""
        head = [line.as_py().decode("utf-8", "replace") for line in batch.lines[:SAMPLED_LINES]]
        format_, _ = recognise(head, [self._format(name) for name in names()])
        if format_ is None:
            raise ValueError(unrecognised(head))
        return format_

    def _rows(
        self, file: InputFile, format_: Format, events: pa.Table, rejected: pa.Table
    ) -> Iterator[tuple[str, pa.Table]]:
        for name, table in (("events", events), ("rejected_lines", rejected)):
            if len(table):
                loaded_at = pa.scalar(self._loaded_at, pa.timestamp("us", "UTC"))
                for column, value in (("source_format", format_.name), ("source_file", file.name), ("loaded_at", loaded_at)):
                    table = table.append_column(column, pa.repeat(value, len(table)))
                yield name, table.select(list(contract.TABLES[name]))

    def _count(self, done: FileLoad, batch: Batch, parsed: Parsed, format_: Format) -> None:
        done.format = format_.name
        done.bytes += batch.end - batch.start
        done.read += len(batch.lines)
        done.landed += len(parsed.events)
        done.skipped += parsed.skipped
        done.rejected += len(parsed.rejected)
        for entry in pc.value_counts(parsed.rejected["reason"]).to_pylist():
            reason, count = entry["values"], entry["counts"]
            self._done.reasons[reason] = self._done.reasons.get(reason, 0) + count
            if reason not in self._done.places:
                first = pc.index(parsed.rejected["reason"], reason).as_py()
                self._done.places[reason] = f"{done.name}:{parsed.rejected['source_line'][first].as_py()}"


def unrecognised(head: Sequence[str]) -> str:
    """Why no format knows these first lines of a file, with the line to look at."""
    number, line = next(((i, line) for i, line in enumerate(head, 1) if line.strip()), (1, ""))
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return f"not JSON Lines: line {number} begins with {line[:40]!r}"
    if not isinstance(value, dict):
        return f"not JSON Lines of objects: line {number} begins with {line[:40]!r}"
    keys = ", ".join(list(value)[:8])
    return f"no known format: line {number} has the keys {keys}. Name one with --format, or write one (see the README)"


def _batches_before(file: InputFile, offset: int) -> Iterator[Batch]:
    with file.open() as stream:
        for batch in batches(stream):
            if batch.end > offset:
                keep = pc.less(batch.offsets(), offset)
                yield Batch(batch.lines.filter(keep), batch.first_line, batch.start, offset)
                return
            yield batch
