"""Turns blocks of lines into rows of the raw tables, and counts landed, skipped and rejected lines."""

import datetime as dt
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import cached_property
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tokenmart import contract
from tokenmart.event_ids import EventIds
from tokenmart.files import InputFile
from tokenmart.formats import CONTEXT, Format, Parser
from tokenmart.lines import Block
from tokenmart.parse import Parsed, joined, parse, texts_of
from tokenmart.recognition import UnknownFormatError, format_mismatches, recognized_formats
from tokenmart.results import LoadResult
from tokenmart.sources import Source, earlier_blocks

SAMPLED_LINES = 200
COUNTED_KEYS = 100
PARALLEL_BYTES = 1 << 20
"""The halves of batches of at least this size are parsed at the same time."""
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

Batch = Sequence[tuple[Source, Block]]
"""Blocks of one or more files that are parsed together."""
Rows = tuple[str, pa.Table]
"""The name of a raw table, and rows for this table."""


class RowMaker:
    """Parses batches, and adds the line counts to the results of each file and of the load.

    `sources` has the file with number n at index n. It grows while files are read. `given_time` is the time of lines
    without one; if it is None, they have the time of their file.
    """

    def __init__(
        self,
        parser: Parser,
        sources: Sequence[Source],
        result: LoadResult,
        given_time: dt.datetime | None = None,
    ) -> None:
        self._parser = parser
        self._sources = sources
        self._result = result
        self._given_time = given_time
        self._event_ids = EventIds(lambda number: earlier_blocks(sources[number]))
        self._contexts: dict[int, str | None] = {}
        self._omitted: list[pa.Table] = []
        self._loaded_at = pa.scalar(dt.datetime.now(dt.UTC), pa.timestamp("us", "UTC"))

    def rows(self, batch: Batch) -> Iterator[Rows]:
        """The rows of a batch. A file of unknown format is refused: its `problem` is the reason."""
        new = [(source, block) for source, block in batch if not (source.is_read or source.is_refused)]
        self._set_formats({source.number: (source, block) for source, block in reversed(new)})
        by_format: dict[str, list[tuple[Source, Block]]] = {}
        for source, block in batch:
            if source.is_refused:
                continue
            name = str(source.format)
            source.result.format = self._parser.format(name).name
            source.result.read += len(block.lines)
            source.result.bytes += block.size
            source.end, source.end_tail = block.end, block.tail
            by_format.setdefault(name, []).append((source, block))
        for name, blocks in by_format.items():
            yield from self._parsed(name, blocks)

    def latest(self, source: Source) -> str | None:
        """The latest time (ISO 8601) of the lines of this file whose id was computed from their content.

        None if there are no such lines.
        """
        latest = self._event_ids.latest.get(source.number)
        return latest.isoformat() if latest else None

    def context(self, source: Source) -> str | None:
        """What the lines of this file have stated so far (JSON), for a format with a context."""
        return self._contexts.get(source.number)

    def file_rows(self, read: Sequence[Source]) -> Iterator[Rows]:
        """The rows of loaded_files and omitted_values for the files that were read.

        If a custom format without `recognizes` skips every line of a file, the next load reads the file again. Files of
        a folder are an exception, because they may have no requests, unless the load landed nothing.
        """
        landed = sum(source.result.landed for source in read)
        for source in read:
            result = source.result
            result.skipped = result.read - result.landed - result.rejected
            has_recognizer = self._parser.format(str(source.format)).has_recognizer
            if not has_recognizer and result.skipped == result.read and (result.is_named or not landed):
                source.needs_reread = True
                if result.is_named and not source.problem:
                    source.problem = f"{result.name}: the format {result.format} skipped every line"
        if read:
            yield "loaded_files", self._loaded_files(read)
        if self._omitted:
            yield "omitted_values", self._omitted_values()

    def close(self) -> None:
        """Closes the parsers, to release their memory."""
        self._parser.close()
        self._event_ids.close()
        if "_second_parser" in self.__dict__:
            self._second_parser.close()
            self._executor.shutdown()

    def preview(self, source: Source, block: Block, rows: int) -> Parsed | None:
        """Parses the first lines of a file: at most `rows` events and `rows` rejected lines.

        None if the format of the file is unknown.
        """
        self._set_formats({source.number: (source, block)})
        if source.is_refused:
            return None
        format_ = self._parser.format(str(source.format))
        source.result.format = format_.name
        lines = pa.chunked_array(block.lines[:SAMPLED_LINES].chunks, block.lines.type)
        is_overlong = pa.chunked_array([pa.repeat(block.is_overlong, len(lines))])
        context = self._context(format_, lines, _origins([(source, block)])[: len(lines)])
        parsed = parse(lines, is_overlong, format_, self._parser, context)
        return Parsed(parsed.events[:rows], parsed.rejected[:rows], parsed.tool_calls[:rows], parsed.omitted)

    def _set_formats(self, first: dict[int, tuple[Source, Block]]) -> None:
        """Sets the formats of files by their first new blocks, and prepares their ids."""
        unknown: list[tuple[Source, Block]] = []
        given: dict[str, list[tuple[Source, Block]]] = {}
        for source, block in first.values():
            if source.format is None:
                unknown.append((source, block))
            elif not source.checkpoint and not source.store:
                given.setdefault(source.format, []).append((source, block))
        for (source, _), found in zip(
            unknown, recognized_formats(self._parser, _files_and_blocks(unknown)), strict=True
        ):
            self._accept(source, found)
        for name, blocks in given.items():
            for (source, _), why in zip(
                blocks, format_mismatches(self._parser, name, _files_and_blocks(blocks)), strict=True
            ):
                self._accept(source, why or name)
        for source, _ in first.values():
            self._contexts[source.number] = source.checkpoint.get("context") if source.checkpoint else None
            latest = source.checkpoint["latest"] if source.checkpoint else None
            self._event_ids.begin(source.number, dt.datetime.fromisoformat(latest) if latest else None)

    def _accept(self, source: Source, found: str | UnknownFormatError) -> None:
        if isinstance(found, UnknownFormatError):
            source.is_refused = source.result.is_foreign = True
            source.result.problem = f"{source.file.name}: {found}"
        else:
            source.format = found

    def _parsed(self, name: str, batch: Batch) -> Iterator[Rows]:
        """The rows of blocks of one format."""
        lines = _joined(chunk for _, block in batch for chunk in block.lines.chunks)
        is_overlong = _joined(pa.repeat(block.is_overlong, len(block.lines)) for _, block in batch)
        origins = _origins(batch)
        format_ = self._parser.format(name)
        parsed = self._parse(lines, is_overlong, name, self._context(format_, lines, origins))
        dated, time_basis = self._dated(parsed.events, origins["file"])
        events = self._event_ids.identify(dated, origins["file"], lines)
        if len(parsed.omitted):
            files = origins["file"].take(parsed.omitted["line_id"])
            self._omitted.append(self._counted(parsed.omitted.set_column(0, "file", files)))
        file_names = pa.array([source.file.name for source in self._sources], pa.string())
        self._add_counts(parsed, origins["file"])
        for table, rows in (
            ("events", events),
            ("rejected_lines", parsed.rejected),
            ("tool_calls", parsed.tool_calls),
        ):
            origin = _of_lines(origins, rows["line_id"])
            if table == "rejected_lines":
                self._add_reasons(rows, origin)
            if len(rows):
                provenance = {
                    "time_basis": time_basis,
                    "source_format": pa.repeat(format_.name, len(rows)),
                    "source_file": file_names.take(origin["file"].combine_chunks()),
                    "source_line": origin["source_line"],
                    "source_offset": origin["source_offset"],
                    "loaded_at": pa.repeat(self._loaded_at, len(rows)),
                }
                columns = [provenance[name] if name in provenance else rows[name] for name in contract.TABLES[table]]
                yield table, pa.table(columns, names=list(contract.TABLES[table]))

    def _dated(self, events: pa.Table, files: pa.ChunkedArray) -> tuple[pa.Table, pa.Array | pa.ChunkedArray]:
        """The events with every occurred_at filled, and the time_basis of each: NULL if its source reports the time."""
        times = events["occurred_at"]
        if not times.null_count:
            return events, pa.nulls(len(events), pa.string())
        found = [(self._given_time, "given") if self._given_time else _file_time(source) for source in self._sources]
        numbers = files.take(events["line_id"]).combine_chunks()
        filled = pa.array([time or self._loaded_at.as_py() for time, _ in found], times.type).take(numbers)
        bases = pa.array([basis for _, basis in found], pa.string()).take(numbers)
        is_missing = times.is_null().combine_chunks()
        column = events.column_names.index("occurred_at")
        times = pc.if_else(is_missing, filled, times.combine_chunks())
        return events.set_column(column, "occurred_at", times), pc.if_else(is_missing, bases, None)

    @cached_property
    def _second_parser(self) -> Parser:
        return self._parser.copy()

    @cached_property
    def _executor(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=1)

    def _context(self, format_: Format, lines: pa.ChunkedArray, origins: pa.Table) -> pa.Table | None:
        """The columns CONTEXT of each line; None for a format without one. Keeps the context after the last line."""
        if format_.context_query is None:
            return None
        files = pc.unique(origins["file"])
        rows, ends = len(lines), len(files)
        found = self._parser.run(
            format_.context_query,
            file=pa.chunked_array([*origins["file"].chunks, files, files]),
            line_id=pa.chunked_array([pa.arange(0, rows), pa.repeat(-1, ends), pa.repeat(rows, ends)]),
            line=pa.chunked_array([*texts_of(lines, self._parser).chunks, pa.nulls(2 * ends, pa.large_string())]),
            carried=pa.chunked_array(
                [
                    pa.nulls(rows, pa.string()),
                    pa.array([self._contexts.get(number) for number in files.to_pylist()], pa.string()),
                    pa.nulls(ends, pa.string()),
                ]
            ),
        )
        last = found[ends + rows :]
        self._contexts |= dict(zip(last["file"].to_pylist(), last["context"].to_pylist(), strict=True))
        context = found["context"][ends : ends + rows]
        return pa.table([origins["source_line"], context], schema=CONTEXT)

    def _parse(
        self, lines: pa.ChunkedArray, is_overlong: pa.ChunkedArray, name: str, context: pa.Table | None
    ) -> Parsed:
        """Parses lines with two parsers: DuckDB uses only one thread for a query that keeps the order of rows."""

        def parsed(first: int, last: int, parser: Parser) -> Parsed:
            return parse(
                lines[first:last],
                is_overlong[first:last],
                parser.format(name),
                parser,
                context and context[first:last],
            )

        if lines.nbytes < PARALLEL_BYTES:
            return parsed(0, len(lines), self._parser)
        half = len(lines) // 2
        second = self._executor.submit(parsed, half, len(lines), self._second_parser)
        try:
            first = parsed(0, half, self._parser)
        finally:
            wait([second])
        return joined(first, second.result(), half)

    def _add_counts(self, parsed: Parsed, files: pa.ChunkedArray) -> None:
        """Counts lines and requests. A line of which a request was rejected is a rejected line."""
        line_ids, rejected = parsed.events["line_id"], parsed.rejected["line_id"]
        landed = line_ids
        if len(rejected):
            landed = landed.filter(pc.invert(pc.is_in(landed, rejected.combine_chunks())))
        if pc.count_distinct(landed).as_py() < len(landed):
            landed = pa.chunked_array([pc.unique(landed)])
        tool_calls = parsed.tool_calls["line_id"]
        for count, ids in (
            ("requests", line_ids),
            ("landed", landed),
            ("rejected", rejected),
            ("tool_calls", tool_calls),
        ):
            for entry in pc.value_counts(_of_lines(files, ids)).to_pylist():
                result = self._sources[entry["values"]].result
                setattr(result, count, getattr(result, count) + entry["counts"])

    def _add_reasons(self, rejected: pa.Table, origins: pa.Table) -> None:
        for entry in pc.value_counts(rejected["reason"]).to_pylist():
            reason = entry["values"]
            self._result.reasons[reason] = self._result.reasons.get(reason, 0) + entry["counts"]
            if reason not in self._result.examples:
                first = origins.slice(pc.index(rejected["reason"], reason).as_py(), 1).to_pylist()[0]
                name = self._sources[first["file"]].file.name
                self._result.examples[reason] = f"{name}:{first['source_line']}"

    def _loaded_files(self, read: Sequence[Source]) -> pa.Table:
        rows = [
            {
                "source_format": source.result.format,
                "source_file": source.file.name,
                "first_offset": source.start,
                "next_offset": source.end,
                "lines_read": source.result.read,
                "lines_landed": source.result.landed,
                "lines_skipped": source.result.skipped,
                "lines_rejected": source.result.rejected,
                "events_landed": source.result.requests,
                "tool_calls_landed": source.result.tool_calls,
                "is_sample": source.file.is_sample,
                "loaded_at": self._loaded_at.as_py(),
            }
            for source in read
        ]
        return pa.Table.from_pylist(rows)

    def _counted(self, omitted: pa.Table) -> pa.Table:
        """The number of lines by file, key and reason."""
        columns = {name: omitted[name] for name in ("file", "key", "reason")}
        lines = omitted["lines"] if "lines" in omitted.column_names else pa.chunked_array([pa.repeat(1, len(omitted))])
        return self._parser.run(_COUNTED, lines=lines, **columns)

    def _omitted_values(self) -> pa.Table:
        counted = self._counted(pa.concat_tables(self._omitted))
        files = counted["file"].combine_chunks()
        columns = {
            "source_format": pa.array([source.result.format for source in self._sources], pa.string()).take(files),
            "source_file": pa.array([source.file.name for source in self._sources], pa.string()).take(files),
            "loaded_at": pa.repeat(self._loaded_at, len(counted)),
        }
        for name in ("key", "reason", "lines"):
            columns[name] = counted[name]
        return pa.table({name: columns[name] for name in contract.TABLES["omitted_values"]})


def _files_and_blocks(batch: Batch) -> list[tuple[InputFile, Block]]:
    return [(source.file, block) for source, block in batch]


def _origins(batch: Batch) -> pa.Table:
    """The file number, line number and offset of each line."""
    return pa.table(
        {
            "file": _joined(pa.repeat(source.number, len(block.lines)) for source, block in batch),
            "source_line": _joined(
                pa.arange(block.first_line, block.first_line + len(block.lines)) for _, block in batch
            ),
            "source_offset": _joined(chunk for _, block in batch for chunk in block.offsets().chunks),
        }
    )


def _of_lines(values: Any, line_ids: pa.ChunkedArray) -> Any:
    """The values of the lines with these ids, from an array or a table with a value for each line."""
    if len(line_ids) == len(values) and pc.all(pc.equal(line_ids, pa.arange(0, len(values)))).as_py():
        return values
    return values.take(line_ids)


def _file_time(source: Source) -> tuple[dt.datetime | None, str]:
    modified_at = source.file.modified_at
    return (modified_at, "file") if modified_at else (None, "load")


def _joined(chunks: Iterator[pa.Array]) -> pa.ChunkedArray:
    return pa.chunked_array(list(chunks))
