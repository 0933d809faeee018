"""Turns a batch of lines into typed events and rejected lines: every line is landed, skipped or rejected."""

from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from loader.errors import UsageError
from loader.formats import LINES, Format
from loader.lines import KEPT_OF_OVERLONG_LINE, MAX_LINE_BYTES, MEBIBYTE, Batch

_BLANK = "blank"
_NOT_JSON = "not JSON"
_OVERLONG = (
    f"longer than {MAX_LINE_BYTES // MEBIBYTE} MiB: only its first {KEPT_OF_OVERLONG_LINE // MEBIBYTE} MiB is kept"
)
_REASONS = pa.schema([("source_line", pa.int64()), ("reason", pa.string())])
_CHECKED = f"""
    with keyed as (select line, try(json_keys(line)) as keys from batch)
    select
        case
            when keys = $usual then null
            when line is null then 'not valid UTF-8'
            when keys is null then if(trim(line, e' \\t\\r') = '', '{_BLANK}', '{_NOT_JSON}')
            when keys = [] and json_type(line) <> 'OBJECT' then 'not a JSON object'
            when len(list_distinct(keys)) < len(keys) then 'duplicate key'
        end as fault,
        case when keys = $usual then $usual_has_unmapped else not list_has_all($known, keys) end as has_unmapped,
        contains(line, '\\u0000') as has_nul
    from keyed
"""
# A NUL written as an escape is legal JSON, and only DuckDB stores it. Twice, because neighbours share a character.
_NUL, _NUL_MENDED = r"'(^|[^\\](?:\\\\)*)\\u0000'", r"'\1\\ufffd'"
_WITHOUT_NUL = f"""
    select regexp_replace(regexp_replace(line, {_NUL}, {_NUL_MENDED}, 'g'), {_NUL}, {_NUL_MENDED}, 'g') as line from batch
"""
# JavaScript writes half of a surrogate pair where it cut a text in an emoji: no Unicode, but a request all the same.
_WITHOUT_HALF_PAIRS = r"""
    select
        case
            when try(json_valid(line)) or not regexp_matches(line, '\\u[dD]') then line
            else regexp_replace(
                line,
                '(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}',
                '\1',
                'g'
            )
        end as line
    from batch
"""


@dataclass(frozen=True)
class Parsed:
    """A batch after parsing: landed, rejected and skipped lines add up to the lines read.

    `events` has source_line, the contract's FORMAT_COLUMNS and source_offset, in the order of the lines; `rejected` has
    source_line, source_offset, reason, line and, where the bytes are no text that every warehouse stores, line_base64.
    """

    events: pa.Table
    rejected: pa.Table
    skipped: int


def parse(batch: Batch, format_: Format) -> Parsed:
    """Parses one batch by one format; raises UsageError where a user's format gives a line two rows."""
    count = len(batch.lines)
    first = batch.first_line
    texts = _texts(batch, format_)
    checked = _check(texts, format_)
    if pc.any(pc.equal(checked["fault"], _NOT_JSON)).as_py():
        texts = _run(format_, _WITHOUT_HALF_PAIRS, line=texts)["line"]
        checked = _check(texts, format_)
    if pc.any(checked["has_nul"]).as_py():
        texts = _run(format_, _WITHOUT_NUL, line=texts)["line"]
    faults = checked["fault"]
    if batch.is_overlong:
        faults = pa.chunked_array([[_OVERLONG]])
    is_sound = pc.is_null(faults)
    lines = pa.table([pa.arange(first, first + count), texts, checked["has_unmapped"]], names=LINES.names)
    found = _run(format_, format_.query, **_columns(lines.filter(is_sound)))
    if pc.count_distinct(found["source_line"]).as_py() < len(found):
        raise UsageError(f"The format {format_.name} gives more than one row for a line.", "One line, one request.")

    is_rejected = pc.is_valid(found["reject_reason"])
    is_faulty = pc.fill_null(pc.not_equal(faults, _BLANK), False)
    rejected = _rejected(
        batch,
        pa.concat_tables(
            [
                pa.table({"source_line": lines["source_line"], "reason": faults}, _REASONS).filter(is_faulty),
                pa.table({"source_line": found["source_line"], "reason": found["reject_reason"]}, _REASONS).filter(
                    is_rejected
                ),
            ]
        ),
        format_,
    )
    events = found.filter(pc.invert(is_rejected)).drop_columns("reject_reason")
    events = events.append_column("source_offset", _at(batch, events["source_line"], batch.offsets()))
    return Parsed(events, rejected, count - len(events) - len(rejected))


def _texts(batch: Batch, format_: Format) -> pa.ChunkedArray:
    """The lines as text; NULL where a line is not valid UTF-8."""
    try:
        return batch.lines.cast(pa.large_string())
    except pa.ArrowInvalid:
        return _run(format_, "select try(decode(line)) as line from batch", line=batch.lines)["line"]


def _check(texts: pa.ChunkedArray, format_: Format) -> pa.Table:
    """For each line: `fault` (why it cannot be read, or that it is blank), `has_unmapped` keys, `has_nul`.

    Most lines of a file have the keys of their neighbours, so a batch is compared with its first line's keys, and only
    what differs is looked at key by key.
    """
    usual = format_.connection.execute("select try(json_keys($1))", [texts[0].as_py()]).fetchall()[0][0] or []
    if len(set(usual)) < len(usual):
        usual = []
    known = list(format_.known_keys)
    has_unmapped = not set(usual) <= set(known)
    return _run(
        format_,
        _CHECKED,
        {"usual": usual or [""], "usual_has_unmapped": has_unmapped, "known": known},
        line=texts,
    )


def _rejected(batch: Batch, reasons: pa.Table, format_: Format) -> pa.Table:
    """The rejected lines with their bytes: as text where every warehouse stores it, else in base64."""
    query = """
        with decoded as (select *, try(decode(bytes)) as text from batch)
        select
            source_line,
            source_offset,
            reason,
            case when not contains(text, chr(0)) then text end as line,
            case when text is null or contains(text, chr(0)) then base64(bytes) end as line_base64
        from decoded
        order by source_line
    """
    return _run(
        format_,
        query,
        source_line=reasons["source_line"],
        source_offset=_at(batch, reasons["source_line"], batch.offsets()),
        reason=reasons["reason"],
        bytes=_at(batch, reasons["source_line"], batch.lines),
    )


def _at(batch: Batch, numbers: pa.ChunkedArray, values: pa.ChunkedArray) -> pa.ChunkedArray:
    """The values that belong to the lines of these numbers."""
    return values if len(numbers) == len(values) else values.take(pc.subtract(numbers, batch.first_line))


def _columns(table: pa.Table) -> dict[str, pa.ChunkedArray]:
    return dict(zip(table.column_names, table.columns, strict=True))


def _run(format_: Format, query: str, params: dict[str, Any] | None = None, **columns: pa.ChunkedArray) -> pa.Table:
    """Runs a query over these columns as the table `batch`, on the format's own DuckDB."""
    format_.connection.register("batch", pa.table(columns))
    return format_.connection.sql(query, params=params or {}).to_arrow_table()
