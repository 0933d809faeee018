"""Loads the new lines of files into the warehouse, or previews them."""

import base64
import json
import zlib
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from tokenmart import report
from tokenmart.ahead import ahead
from tokenmart.destinations import connect, is_new, lock
from tokenmart.files import InputFile
from tokenmart.locks import OnWait
from tokenmart.positions import PIPELINE, SOURCE, Position
from tokenmart.profile import Target
from tokenmart.reader import Load, Options, Progress, Reader


@dataclass(frozen=True)
class Preview:
    """What a load would read of a file: its format, the first byte, and how the first lines would be loaded."""

    name: str
    format: str | None
    bytes: int
    first_offset: int
    events: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    problem: str | None


def load(
    files: Sequence[InputFile], target: Target, options: Options, progress: Progress, on_wait: OnWait = lambda _: None
) -> Load:
    """Loads the new lines of `files`. Raises TokenmartError if the warehouse cannot be reached or refuses.

    Waits for another load into the same raw schema, and calls `on_wait`. A file that cannot be read is left out, with
    its `problem`; the others are loaded.
    """
    reader = Reader(options, progress)
    known: dict[str, Position] = {}
    with ExitStack() as stack:
        # before the positions are read, so that lines of another load are not loaded twice
        check = stack.enter_context(lock(target, "load", on_wait))
        is_first = is_new(target)
        # a target that does not exist has no positions: reading starts before dlt is even imported
        before = {} if is_first else _known(target, reader.done, has_own=not all(file.is_sample for file in files))
        if before is not None:
            known.update(before)
            tables = stack.enter_context(ahead(reader.tables(files, known), lambda: reader.is_parsing))
            if not is_first:
                first = list(islice(tables, 1))
                if not first and known == before:
                    return reader.done
                tables = chain(first, tables)
        from tokenmart.pipeline import open_pipeline

        pipeline = stack.enter_context(open_pipeline(target, is_new=is_first, to_load=True))
        if before is None:
            known.update(pipeline.known)
            tables = stack.enter_context(ahead(reader.tables(files, known), lambda: reader.is_parsing))
        reader.done.load_id = pipeline.run(tables, known, check)
        reader.done.location = pipeline.warehouse.location
        if not all(file.is_sample for file in files):
            reader.done.samples = report.samples(pipeline.warehouse, target)
    return reader.done


def _known(target: Target, done: Load, *, has_own: bool) -> dict[str, Position] | None:
    """How far files were read, from dlt's state, without the time that importing dlt takes.

    Fills in the location in `done`. None if a load was interrupted, or if the state is not as expected.
    """
    if any(target.working_folder.glob("load-*")):
        return None
    raw = target.raw_schema
    with connect(target, to_read=True) as warehouse:
        done.location = warehouse.location
        if not {"_dlt_pipeline_state", "_dlt_loads"} <= warehouse.tables(raw).keys():
            return None
        done.samples = report.samples(warehouse, target) if has_own else 0
        rows = warehouse.query(
            f"select state from {raw}._dlt_pipeline_state where pipeline_name = '{PIPELINE}' and _dlt_load_id in"
            f" (select load_id from {raw}._dlt_loads where status = 0) order by _dlt_load_id desc limit 1"
        )
    try:
        state = json.loads(zlib.decompress(base64.b64decode(rows[0][0], validate=True)))
        return dict(state["sources"][SOURCE]["files"])
    except (IndexError, KeyError, TypeError, ValueError, zlib.error):
        return None


def preview(files: Sequence[InputFile], target: Target, options: Options, *, rows: int) -> list[Preview]:
    """Shows how `load` would read the first new lines of each file; loads nothing."""
    known = {} if is_new(target) else _known(target, Load(), has_own=False)
    if known is None:
        from tokenmart.pipeline import open_pipeline

        with open_pipeline(target) as pipeline:
            known = pipeline.known
    reader = Reader(options, lambda _bytes, _lines: None)
    previews = []
    for file in files:
        done, offset, parsed = reader.preview(file, known, rows)
        events = parsed.events.drop_columns("line_id").to_pylist() if parsed else []
        rejected = parsed.rejected.to_pylist() if parsed else []
        previews.append(Preview(file.name, done.format, file.size, offset, events, rejected, done.problem))
    return previews
