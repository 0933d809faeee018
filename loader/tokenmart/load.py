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
from tokenmart.checkpoints import PIPELINE, SOURCE, Checkpoint
from tokenmart.destinations import connect, is_new, lock
from tokenmart.files import InputFile
from tokenmart.locks import OnWait
from tokenmart.prefetch import prefetch
from tokenmart.profile import Target
from tokenmart.reader import Options, Reader
from tokenmart.results import LoadResult
from tokenmart.sources import Progress


@dataclass(frozen=True)
class Preview:
    """What a load would read from a file: its format, the first byte (`first_offset`), and the first rows.

    `bytes` is the stored size of the file. Of a database (`is_store`), `first_offset` is the position after the last
    row that was read.
    """

    name: str
    format: str | None
    bytes: int
    first_offset: int
    events: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    problem: str | None
    is_store: bool = False


def load(
    files: Sequence[InputFile], target: Target, options: Options, progress: Progress, on_wait: OnWait = lambda _: None
) -> LoadResult:
    """Loads the new lines of `files` in one load.

    If another load into the same raw schema is running, calls `on_wait` and waits for it. A file that cannot be read
    gets a `problem` in the result, and the other files are loaded. Raises UsageError for a wrong format, time zone or
    staging bucket, and TokenmartError if the warehouse cannot be reached or reports an error.
    """
    reader = Reader(options, progress)
    has_user_files = not all(file.is_sample for file in files)
    with ExitStack() as stack:
        # take the lock before reading the checkpoints, so that two loads do not land the same lines
        check = stack.enter_context(lock(target, "load", on_wait))
        is_first = is_new(target)
        # a new target has no checkpoints, so reading starts before dlt is imported
        stored = {} if is_first else _checkpoints(target, reader.result, has_user_files=has_user_files)
        if stored is not None:
            tables = stack.enter_context(prefetch(reader.tables(files, stored), lambda: reader.is_parsing))
            if not is_first:
                first = list(islice(tables, 1))
                if not first and reader.checkpoints == stored:
                    return reader.result
                tables = chain(first, tables)
        from tokenmart.pipeline import open_pipeline

        pipeline = stack.enter_context(open_pipeline(target, is_new=is_first, to_load=True))
        if stored is None:
            stored = pipeline.checkpoints
            tables = stack.enter_context(prefetch(reader.tables(files, stored), lambda: reader.is_parsing))
        reader.result.load_id = pipeline.run(tables, lambda: reader.checkpoints, check)
        reader.result.location = pipeline.warehouse.location
        if has_user_files:
            reader.result.samples = report.samples(pipeline.warehouse, target)
    return reader.result


def _checkpoints(target: Target, result: LoadResult, *, has_user_files: bool) -> dict[str, Checkpoint] | None:
    """The checkpoints in dlt's state, read without dlt, because importing it takes a second.

    Sets `location` and `samples` of `result`. None if a load was interrupted, or if the state cannot be read.
    """
    if any(target.working_folder.glob("load-*")):
        return None
    raw = target.raw_schema
    with connect(target, to_read=True) as warehouse:
        result.location = warehouse.location
        if not {"_dlt_pipeline_state", "_dlt_loads"} <= warehouse.tables(raw).keys():
            return None
        result.samples = report.samples(warehouse, target) if has_user_files else 0
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
    """Shows how `load` would load the first new lines of each file: at most `rows` events and `rows` rejected lines.

    Loads nothing. Raises UsageError and TokenmartError as `load` does.
    """
    stored = {} if is_new(target) else _checkpoints(target, LoadResult(), has_user_files=False)
    if stored is None:
        from tokenmart.pipeline import open_pipeline

        with open_pipeline(target) as pipeline:
            stored = pipeline.checkpoints
    reader = Reader(options, lambda _bytes, _lines: None)
    previews = []
    for file in files:
        source, parsed = reader.preview(file, stored, rows)
        events = parsed.events.drop_columns("line_id").to_pylist() if parsed else []
        rejected = parsed.rejected.to_pylist() if parsed else []
        result = source.result
        previews.append(
            Preview(
                file.name,
                result.format,
                file.size,
                source.start,
                events,
                rejected,
                result.problem,
                is_store=source.store is not None,
            )
        )
    return previews
