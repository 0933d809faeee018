"""Reads the new lines of files, in batches of many small files, and yields rows for the raw tables."""

import datetime as dt
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from tokenmart import checkpoints
from tokenmart.checkpoints import Checkpoint, Checkpoints, Update
from tokenmart.errors import UsageError
from tokenmart.files import InputFile
from tokenmart.prefetch import prefetch
from tokenmart.results import LoadResult
from tokenmart.sources import Progress, Source, new_blocks, open_source
from tokenmart.store_tables import HOUR, StoreOptions

if TYPE_CHECKING:
    from tokenmart.formats import Parser
    from tokenmart.lines import Block
    from tokenmart.parse import Parsed
    from tokenmart.rows import RowMaker, Rows

BATCH_BYTES = 8 << 20
PREVIEWED_ROWS = 200


@dataclass(frozen=True)
class Options:
    """How files are read: the options of `tokenmart load`.

    `format` is the name of a format or the path of a .sql file. If it is None, formats are recognized. `defaults` has
    values for columns that lines leave empty. `occurred_at` is the time of lines that have none: an ISO 8601 time, or
    'file' for the time of the file. `table` is the table of a database, and `overlap` the seconds of it that are read
    again, see `StoreOptions`.
    """

    format: str | None = None
    time_zone: str = "UTC"
    keep_content: bool = False
    keep_keys: tuple[str, ...] = ()
    defaults: Mapping[str, str] = field(default_factory=dict)
    occurred_at: str | None = None
    final: bool = False
    again: bool = False
    table: str | None = None
    overlap: int = HOUR


class Reader:
    """Reads files one after the other. `is_parsing` is true while lines are parsed.

    `result` and the new `checkpoints` are complete when `tables` ends.
    """

    def __init__(self, options: Options, progress: Progress) -> None:
        """Raises UsageError if the format or the time zone does not exist, or if `occurred_at` is not a time."""
        self.result = LoadResult()
        self.checkpoints: dict[str, Checkpoint] = {}
        self.is_parsing = False
        self._options = options
        self._progress = progress
        self._sources: list[Source] = []
        if options.format or options.time_zone != "UTC" or options.occurred_at:
            self._rows  # noqa: B018 - raises if one of them does not exist

    @cached_property
    def _rows(self) -> "RowMaker":
        # imported only if there is something to parse: the imports take longer than a load without new lines
        from tokenmart.formats import Parser
        from tokenmart.rows import RowMaker
        from tokenmart.unmapped import Keep

        keep = Keep(self._options.keep_content, self._options.keep_keys)
        parser = Parser(
            time_zone=self._options.time_zone,
            keep=keep,
            defaults=self._options.defaults,
            needs_time=not self._options.occurred_at,
        )
        if self._options.format:
            parser.format(self._options.format)
        return RowMaker(parser, self._sources, self.result, self._given_time(parser))

    def _given_time(self, parser: "Parser") -> dt.datetime | None:
        """The time that the user gave for lines without one, in the time zone of the options."""
        text = self._options.occurred_at
        if text in (None, "file"):
            return None
        found = parser.time(str(text))
        if found is None:
            raise UsageError(
                f"--occurred-at is {text}, which is not a time.", "Use a time such as 2026-11-01T09:30:00Z, or: file"
            )
        return found

    def tables(self, files: Sequence[InputFile], stored: Mapping[str, Checkpoint]) -> Generator["Rows", None, None]:
        """Yields raw table names and rows (`Rows`) for the lines after the `stored` checkpoints."""
        with prefetch(self._batches(files, Checkpoints(stored))) as batches:
            for batch in batches:
                yield from self._parsed(batch)
        read = [source for source in self._sources if source.is_read]
        if read:
            yield from self._rows.file_rows(read)
        for source in self._sources:
            if not source.is_refused:
                source.result.problem, source.result.waiting = source.problem, source.waiting
            self.result.files.append(source.result)
        self.checkpoints = checkpoints.with_updates(stored, self._updates(), len(self._sources))
        if read:
            # release the memory, because the warehouse needs memory next
            self._rows.close()

    def preview(self, file: InputFile, stored: Mapping[str, Checkpoint], rows: int) -> tuple[Source, "Parsed | None"]:
        """Parses the first new lines of a file: at most `rows` events and `rows` rejected lines.

        None if there are none.
        """
        source = self._open(file, Checkpoints(stored), limit=PREVIEWED_ROWS)
        for block in new_blocks(source, self._progress, final=self._options.final):
            return source, self._rows.preview(source, block, rows)
        source.result.problem = source.problem
        return source, None

    def _open(self, file: InputFile, stored: Checkpoints, *, limit: int | None = None) -> Source:
        number, options = len(self._sources), self._options
        store_options = StoreOptions(options.table, options.overlap, options.keep_content, limit)
        source = open_source(number, file, stored, options.format, store_options, again=options.again)
        self._sources.append(source)
        return source

    def _batches(
        self, files: Sequence[InputFile], stored: Checkpoints
    ) -> Generator[list[tuple[Source, "Block"]], None, None]:
        """The new blocks of the files, in batches of up to BATCH_BYTES."""
        batch: list[tuple[Source, Block]] = []
        size = 0
        for file in files:
            source = self._open(file, stored)
            for block in new_blocks(source, self._progress, final=self._options.final):
                added = block.size
                if batch and size + added > BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
                batch.append((source, block))
                size += added
                if size >= BATCH_BYTES:
                    yield batch
                    batch, size = [], 0
        if batch:
            yield batch

    def _parsed(self, batch: Sequence[tuple[Source, "Block"]]) -> Iterator["Rows"]:
        self.is_parsing = True
        try:
            rows = list(self._rows.rows(batch))
        finally:
            self.is_parsing = False
        yield from rows

    def _updates(self) -> Iterator[Update]:
        """The new checkpoint of each file, with the checkpoint that it replaces."""
        for source in self._sources:
            if source.needs_reread:
                # the next load reads these lines again
                if source.checkpoint:
                    yield source.checkpoint, source.checkpoint
            elif source.is_read and not source.file.is_stream:
                yield _with_compressed(self._checkpoint(source), source), source.checkpoint
        for source in self._sources:
            # an unchanged file keeps its checkpoint, even if another file with the same content has just replaced it
            if source.checkpoint and not source.is_read:
                yield _with_compressed(source.checkpoint, source), source.checkpoint

    def _checkpoint(self, source: Source) -> Checkpoint:
        if source.store:
            anchors = source.store.position["anchors"]
            return Checkpoint(
                name=source.file.name,
                offset=source.end,
                lines=source.lines_before + source.result.read,
                format=str(source.format),
                head=checkpoints.digest(source.store.position["table"].encode()),
                tail=anchors[0][1] if anchors else "",
                latest=self._rows.latest(source),
                store=source.store.position,
            )
        checkpoint = Checkpoint(
            name=source.file.name,
            offset=source.end,
            lines=source.lines_before + source.result.read,
            format=str(source.format),
            head=checkpoints.head_digest(source.head[: source.end]),
            tail=checkpoints.digest((source.tail + source.end_tail)[-checkpoints.TAIL_BYTES :]),
            latest=self._rows.latest(source),
        )
        if context := self._rows.context(source):
            checkpoint["context"] = context
        return checkpoint


def _with_compressed(checkpoint: Checkpoint, source: Source) -> Checkpoint:
    """Adds the `compressed_digest` to the checkpoint of a compressed file that was read to its end."""
    if not source.compressed or source.result.problem or checkpoint.get("compressed") == source.compressed:
        return checkpoint
    return {**checkpoint, "name": source.file.name, "compressed": source.compressed}
