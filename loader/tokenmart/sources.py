"""Opens files: looks up their read positions, and reads their new lines."""

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tokenmart import checkpoints
from tokenmart.checkpoints import Checkpoint, Checkpoints
from tokenmart.errors import without_secrets
from tokenmart.files import InputFile, is_compressed, is_sqlite
from tokenmart.results import FileResult
from tokenmart.store_tables import StoreError, StoreOptions, UnknownStoreError

if TYPE_CHECKING:
    from tokenmart.lines import Block
    from tokenmart.stores import StoreRead

DEFAULT_STORE_OPTIONS = StoreOptions()
Progress = Callable[[int, int], None]
"""Called with the number of bytes and lines that were read since the last call."""


@dataclass
class Source:
    """A file that is being read.

    The reading thread sets: `checkpoint`, of an earlier load; `start` and `lines_before`, the bytes and lines before
    the first new line; `head`, the first bytes of the file; `tail`, the bytes before `start`; `compressed`, the
    `compressed_digest`; `is_unchanged`, which means that there are no new lines; `waiting` and `problem`; `store`, the
    new rows if the file is a database, and `store_options`.

    The parsing thread sets: `format` and `result`; `end`, the offset after the last parsed line, and `end_tail`, the
    bytes before it; `is_refused`, which means that the format is unknown and reading stops; `needs_reread`, which means
    that the next load reads the same lines again.
    """

    number: int
    file: InputFile
    result: FileResult
    format: str | None
    checkpoint: Checkpoint | None = None
    start: int = 0
    lines_before: int = 0
    head: bytes = b""
    tail: bytes = b""
    compressed: str | None = None
    is_unchanged: bool = False
    waiting: int = 0
    problem: str | None = None
    end: int = 0
    end_tail: bytes = b""
    is_refused: bool = False
    needs_reread: bool = False
    store: "StoreRead | None" = None
    store_options: StoreOptions = DEFAULT_STORE_OPTIONS

    @property
    def is_read(self) -> bool:
        """Whether this load has parsed lines of the file."""
        return self.result.read > 0


def open_source(
    number: int,
    file: InputFile,
    stored: Checkpoints,
    format_: str | None,
    store_options: StoreOptions = DEFAULT_STORE_OPTIONS,
    *,
    again: bool,
) -> Source:
    """Looks up the read position of a file. With `again`, the file is read from the beginning.

    The new rows of a database are also read. Errors of the file become its `problem`.
    """
    result = FileResult(file.name, file.is_named, is_sample=file.is_sample)
    # a file that was left out by a rule does not make the load fail
    result.is_foreign = file.problem is not None and not file.is_named
    source = Source(number, file, result, format_, problem=file.problem, store_options=store_options)
    checkpoint, tail = None, b""
    try:
        if not file.is_stream and not file.dsn and not source.problem:
            checkpoint, tail = _find_checkpoint(source, stored, again)
        if not source.problem and (file.dsn or is_sqlite(source.head)):
            # only now that the file is closed: closing it would release the locks of SQLite in this process
            _read_store(source, stored, again=again)
            return source
        if file.is_store and not file.is_named and source.head:
            raise UnknownStoreError("not a SQLite database")
    except (OSError, EOFError, StoreError) as error:
        source.problem = f"{file.name}: {without_secrets(str(error))}"
        # a database of another program in a folder does not make the load fail
        result.is_foreign |= isinstance(error, UnknownStoreError) and not file.is_named
    # another format than before reads the same lines differently, so the file is read from the beginning
    if checkpoint and format_ in (None, checkpoint["format"]):
        source.checkpoint, source.tail, source.format = checkpoint, tail, checkpoint["format"]
        source.start = source.end = checkpoint["offset"]
        source.lines_before = checkpoint["lines"]
    else:
        source.is_unchanged = False
    return source


def _read_store(source: Source, stored: Checkpoints, *, again: bool) -> None:
    """Reads the new rows of a database, and sets `store`, `checkpoint`, `format`, `start` and `lines_before`."""
    from tokenmart.stores import read_store

    if source.compressed or (not source.file.dsn and "://" in source.file.url):
        raise StoreError("a SQLite database can only be read from an uncompressed local file")
    source.store = read_store(source.file, source.store_options, {} if again else stored.stored, source.format)
    source.checkpoint, source.format = source.store.checkpoint, source.store.format
    source.start = source.end = source.store.start
    source.lines_before = source.checkpoint["lines"] if source.checkpoint else 0
    source.is_unchanged = not source.store.rows


def _find_checkpoint(source: Source, stored: Checkpoints, again: bool) -> tuple[Checkpoint | None, bytes]:
    """The checkpoint of a file, and the bytes before its offset. Sets `head`, `compressed` and `is_unchanged`."""
    file = source.file
    with file.open_compressed() as raw:
        head = raw.read(checkpoints.HEAD_BYTES)
        if is_compressed(head):
            raw.seek(max(0, file.size - checkpoints.HEAD_BYTES))
            source.compressed = checkpoints.compressed_digest(file, head, raw.read(checkpoints.HEAD_BYTES))
            checkpoint = None if again else stored.unchanged(source.compressed)
            if checkpoint and source.format in (None, checkpoint["format"]):
                source.is_unchanged = True
                return checkpoint, b""
            source.head = checkpoints.read(file, 0, checkpoints.HEAD_BYTES)

            def read(offset: int, size: int) -> bytes:
                return checkpoints.read(file, offset, size)
        else:
            source.head = head

            def read(offset: int, size: int) -> bytes:
                raw.seek(offset)
                return bytes(raw.read(size))

        if not source.head or again or is_sqlite(source.head):
            return None, b""
        checkpoint, tail = stored.find(source.head, read)
        if checkpoint and not source.compressed:
            source.is_unchanged = raw.seek(0, os.SEEK_END) == checkpoint["offset"]
        return checkpoint, tail


def new_blocks(source: Source, progress: Progress, *, final: bool) -> Iterator["Block"]:
    """Yields the new lines of a file. An error that ends reading becomes its `problem`."""
    if source.problem:
        return
    if source.is_unchanged:
        progress(source.file.size, 0)
        return
    # pyarrow is slow to import, and a load without new lines does not need it
    if source.store and source.store.spool:
        first, start, end = source.lines_before + 1, source.start, source.store.end
        for block in source.store.spool.blocks(first_line=first, start=start, end=end):
            yield block
            progress(0, len(block.lines))
        progress(source.file.size, 0)
        return
    from tokenmart.documents import document_blocks
    from tokenmart.lines import blocks

    progress(source.start, 0)
    end, lines = source.start, source.lines_before
    try:
        with ExitStack() as stack:
            stream, is_compressed = stack.enter_context(source.file.open())
            checkpoints.skip(stream, source.start)
            # nobody appends to a compressed file or to a stream that has ended
            final = final or is_compressed or source.file.is_stream
            documents = document_blocks(source.file, offset=source.start, line=source.lines_before)
            for block in documents or blocks(stream, offset=source.start, line=source.lines_before, final=final):
                yield block
                if source.is_refused:
                    return
                end, lines = block.end, lines + len(block.lines)
                progress(block.end - block.start, len(block.lines))
            if not final:
                source.waiting = max(source.file.size - end, 0)
    except (OSError, EOFError) as error:
        after = f" after line {lines}" if end > source.start else ""
        source.problem = f"{source.file.name}{after}: {without_secrets(str(error))}"


def earlier_blocks(source: Source) -> Iterator["Block"]:
    """The lines of a file that earlier loads have read. Raises OSError, EOFError and StoreError."""
    if source.store:
        from tokenmart import stores

        yield from stores.earlier_blocks(source.file, source.store_options, source.start - 1)
        return
    from tokenmart.documents import document_blocks
    from tokenmart.lines import blocks

    with source.file.open() as (stream, _):
        for block in document_blocks(source.file) or blocks(stream):
            if block.end > source.start:
                yield block.until(source.start)
                return
            yield block
