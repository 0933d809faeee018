"""Turns lines into typed events and rejected lines. Every line is landed, skipped or rejected.

A line can have several requests: a format can select several rows of a line, and each object in a JSON array is read as
if it were a line. Then `line_id` is not unique in the events.
"""

import json
from contextlib import suppress
from dataclasses import dataclass

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from tokenmart import contract
from tokenmart.credentials import without_credentials
from tokenmart.formats import CONTEXT, PARSING_MEMORY, Format, Parser
from tokenmart.lines import KEPT_OF_OVERLONG_LINE, MAX_LINE_BYTES, MEBIBYTE
from tokenmart.prepared import literal
from tokenmart.unmapped import OMITTED

SAMPLED_LINES, LONGEST_SAMPLED, MOST_USUAL_KEYS = 20, 100_000, 16

_BLANK = "blank"
_NOT_JSON = "not JSON"
_OVERLONG = (
    f"longer than {MAX_LINE_BYTES // MEBIBYTE} MiB: only its first {KEPT_OF_OVERLONG_LINE // MEBIBYTE} MiB is kept"
)
_OUT_OF_MEMORY = f"parsing it takes more than {PARSING_MEMORY} of memory"
_REASONS = pa.schema([("line_id", pa.int64()), ("reason", pa.string())])
_ARROW_TYPES = {"text": pa.string(), "timestamp": pa.timestamp("us", "UTC"), "milliseconds": pa.float64()}
_NO_TOOL_CALLS = pa.schema(
    [
        ("line_id", pa.int64()),
        *((name, _ARROW_TYPES.get(kind, pa.int64())) for name, kind in contract.TOOL_CALL_COLUMNS.items()),
    ]
).empty_table()
_NO_REJECTED = pa.schema([*_REASONS, ("line", pa.string()), ("line_base64", pa.string())])
# try() makes the check 20% slower, so it is used only for batches with a line that is not JSON
_KEYS, _KEYS_OR_NULL = "json_keys(line)", "try(json_keys(line))"
_CHECKED = f"""
    with
        keyed as (select line, is_overlong, {_KEYS_OR_NULL} as keys from batch),
        compared as (select *, $is_mapped as is_mapped, $is_usual as is_usual from keyed)
    select
        case
            when is_overlong then '{_OVERLONG}'
            when is_mapped or is_usual then null
            when line is null then 'not valid UTF-8'
            when keys is null then if(trim(line, e' \\t\\r') = '', '{_BLANK}', '{_NOT_JSON}')
            when keys = [] and json_type(line) <> 'OBJECT' then 'not a JSON object'
            when len(list_distinct(keys)) < len(keys) then 'duplicate key'
        end as error,
        case when is_mapped then false when is_usual then true else not list_has_all($known, keys) end as has_unmapped,
        contains(line, '\\u0000') as has_nul,
        $may_be_request as may_be_request
    from compared
"""
# An escaped NUL is valid JSON, but only DuckDB can store it. Replaced twice, because matches of neighbors overlap.
_NUL, _REPLACED_NUL = r"'(^|[^\\](?:\\\\)*)\\u0000'", r"'\1\\ufffd'"
_WITHOUT_NUL = f"""
    select regexp_replace(regexp_replace(line, {_NUL}, {_REPLACED_NUL}, 'g'), {_NUL}, {_REPLACED_NUL}, 'g') as line
    from batch
"""
# the objects in lines that are arrays, and the other lines; DuckDB keeps the order of rows
_OBJECTS = """
    select
        line_id,
        unnest(
            case
                when starts_with(line, '[') and json_valid(line) then cast(line -> '$[*]' as varchar[]) else [line]
            end
        ) as line
    from batch
"""
# base64 only if a warehouse cannot store the line as text
_REJECTED_LINES = """
    with decoded as (select *, try(decode(bytes)) as text from batch)
    select
        line_id,
        reason,
        case when not contains(text, chr(0)) then text end as line,
        case when text is null or contains(text, chr(0)) then base64(bytes) end as line_base64
    from decoded
"""


@dataclass(frozen=True)
class Parsed:
    """The result of parsing. Lines that are neither in `events` nor in `rejected` are skipped.

    `events` has line_id and the contract's FORMAT_COLUMNS, in the order of the lines. `rejected` has one row per line,
    with line_id, reason and line, or line_base64 if a warehouse cannot store the line as text. If only some requests of
    a line are rejected, the others are in `events`. `tool_calls` has line_id and the contract's TOOL_CALL_COLUMNS;
    lines without requests can also have tool calls. `omitted` (OMITTED) has line_id, key and reason of values that were
    left out of events.
    """

    events: pa.Table
    rejected: pa.Table
    tool_calls: pa.Table
    omitted: pa.Table


def parse(
    lines: pa.ChunkedArray,
    is_overlong: pa.ChunkedArray,
    format_: Format,
    parser: Parser,
    context: pa.Table | None = None,
) -> Parsed:
    """Parses lines (large_binary) of one format. The line_id of a line is its index in `lines`, from 0.

    `is_overlong` marks lines of which only the first bytes are in `lines`. `context` has the columns CONTEXT of each
    line; formats without a context do not need it. If parsing runs out of memory, the lines are halved until the line
    that needs too much memory is found, and only this line is rejected. Raises UsageError if a custom format fails.
    """
    if context is None and format_.has_context:
        context = pa.table([pa.nulls(len(lines), field.type) for field in CONTEXT], schema=CONTEXT)
    try:
        return _parse(lines, is_overlong, format_, parser, context)
    except duckdb.OutOfMemoryException:
        if len(lines) == 1:
            nothing = parser.parse(format_, format_.lines.empty_table())
            reasons = pa.table({"line_id": [0], "reason": [_OUT_OF_MEMORY]}, _REASONS)
            return Parsed(
                nothing.drop_columns(["reject_reason", *contract.OMISSIONS]),
                _rejected(lines, reasons, parser),
                _NO_TOOL_CALLS,
                OMITTED.empty_table(),
            )
    half = len(lines) // 2
    first, second = (
        parse(lines[part], is_overlong[part], format_, parser, context and context[part])
        for part in (slice(half), slice(half, None))
    )
    return joined(first, second, half)


def joined(first: Parsed, second: Parsed, lines: int) -> Parsed:
    """The combined result of consecutive lines. `lines` is the number of lines of the first result."""
    return Parsed(
        *(
            pa.concat_tables([one, other.set_column(0, "line_id", pc.add(other["line_id"], lines))])
            for one, other in (
                (first.events, second.events),
                (first.rejected, second.rejected),
                (first.tool_calls, second.tool_calls),
                (first.omitted, second.omitted),
            )
        )
    )


def _parse(
    lines: pa.ChunkedArray, is_overlong: pa.ChunkedArray, format_: Format, parser: Parser, context: pa.Table | None
) -> Parsed:
    texts = texts_of(lines, parser)
    line_ids: pa.ChunkedArray | None = None
    if pc.any(pc.starts_with(texts, "[")).as_py():
        # from here on, the objects in arrays count as lines
        objects = parser.run(_OBJECTS, line=texts, line_id=pa.chunked_array([pa.arange(0, len(lines))]))
        texts, line_ids = objects["line"], objects["line_id"]
        is_overlong = is_overlong.take(line_ids)
        context = context and context.take(line_ids)
    found, reasons, tool_calls, omitted = _parsed_objects(texts, is_overlong, format_, parser, context)
    if line_ids is not None:
        found, reasons, tool_calls, omitted = (
            table.set_column(0, "line_id", line_ids.take(table["line_id"]))
            for table in (found, reasons, tool_calls, omitted)
        )
    if pc.count_distinct(reasons["line_id"]).as_py() < len(reasons):
        reasons = reasons.group_by("line_id", use_threads=False).aggregate([("reason", "first")])
        reasons = reasons.rename_columns(_REASONS.names)
    return Parsed(found, _rejected(lines, reasons, parser), tool_calls, omitted)


def _parsed_objects(
    texts: pa.ChunkedArray, is_overlong: pa.ChunkedArray, format_: Format, parser: Parser, context: pa.Table | None
) -> tuple[pa.Table, pa.Table, pa.Table, pa.Table]:
    """The events, the reasons of rejected objects, the tool calls, and the omitted values (OMITTED).

    Their line_id is the index of the object.
    """
    checked = _check(texts, is_overlong, format_, parser)
    if pc.any(pc.equal(checked["error"], _NOT_JSON)).as_py():
        texts = parser.run("select without_lone_surrogates(line) as line from batch", line=texts)["line"]
        checked = _check(texts, is_overlong, format_, parser)
    if pc.any(checked["has_nul"]).as_py():
        texts = parser.run(_WITHOUT_NUL, line=texts)["line"]
    errors = checked["error"]
    columns = [pa.arange(0, len(texts)), texts, checked["has_unmapped"], *(context.columns if context else ())]
    readable = pa.table(columns, names=format_.lines.names)
    tool_calls = _tool_calls(readable, errors, format_, parser)
    is_parsed = pc.and_(pc.is_null(errors), checked["may_be_request"])
    if not pc.all(is_parsed).as_py():
        readable = readable.filter(is_parsed)
    found = parser.parse(format_, readable)
    reasons = pa.concat_tables(
        [
            pa.table({"line_id": pa.arange(0, len(texts)), "reason": errors}, _REASONS).filter(
                pc.fill_null(pc.not_equal(errors, _BLANK), False)
            ),
            found.select(["line_id", "reject_reason"])
            .filter(pc.is_valid(found["reject_reason"]))
            .cast(pa.schema([("line_id", pa.int64()), ("reject_reason", pa.string())]))
            .rename_columns(_REASONS.names),
        ]
    )
    if found["reject_reason"].null_count < len(found):
        found = found.filter(pc.is_null(found["reject_reason"]))
    found, masked = without_credentials(found.drop_columns("reject_reason"), contract.CLEANED_TEXTS, parser.run)
    found, omitted = parser.unmapped.keep_harmless(found, format_.containers)
    omissions = [_omissions(found, found[column], key, reason) for column, (key, reason) in contract.OMISSIONS.items()]
    omissions += [_omissions(found, rows, name, "credential") for name, rows in masked.items()]
    events = found.drop_columns(list(contract.OMISSIONS))
    return events, reasons.sort_by("line_id"), tool_calls, pa.concat_tables([omitted, *omissions])


def _tool_calls(objects: pa.Table, errors: pa.ChunkedArray, format_: Format, parser: Parser) -> pa.Table:
    """The reports of tool calls in all objects without an error."""
    if format_.tool_calls_query is None:
        return _NO_TOOL_CALLS
    if errors.null_count < len(errors):
        objects = objects.filter(pc.is_null(errors))
    found = parser.tool_calls(format_, objects)
    return without_credentials(found, contract.CLEANED_TOOL_CALL_TEXTS, parser.run)[0].cast(_NO_TOOL_CALLS.schema)


def _rejected(lines: pa.ChunkedArray, reasons: pa.Table, parser: Parser) -> pa.Table:
    """The rows of rejected lines, from their line_id and reason, in the order of the lines."""
    if not len(reasons):
        return _NO_REJECTED.empty_table()
    return parser.run(
        _REJECTED_LINES, line_id=reasons["line_id"], reason=reasons["reason"], bytes=lines_of(lines, reasons["line_id"])
    )


def _omissions(events: pa.Table, rows: pa.ChunkedArray, key: str, reason: str) -> pa.Table:
    """The values with this key and reason that were left out of the marked rows, as OMITTED."""
    line_ids = events["line_id"].filter(rows)
    key_and_reason = [pa.chunked_array([pa.repeat(text, len(line_ids))], pa.string()) for text in (key, reason)]
    return pa.table([line_ids, *key_and_reason], schema=OMITTED)


def lines_of(lines: pa.ChunkedArray, line_ids: pa.ChunkedArray) -> pa.ChunkedArray:
    """The lines with these ids, which are in ascending order."""
    if not len(line_ids):
        return lines[:0]
    if pc.count_distinct(line_ids).as_py() < len(line_ids):
        return lines.take(line_ids)
    # `take` would copy all lines
    return lines.filter(pc.is_in(pa.arange(0, len(lines)), line_ids))


def texts_of(lines: pa.ChunkedArray, parser: Parser) -> pa.ChunkedArray:
    """The lines as text. Lines that are not valid UTF-8 are NULL."""
    try:
        return lines.cast(pa.large_string())
    except pa.ArrowInvalid:
        return parser.run("select try(decode(line)) as line from batch", line=lines)["line"]


def _check(texts: pa.ChunkedArray, is_overlong: pa.ChunkedArray, format_: Format, parser: Parser) -> pa.Table:
    """Checks each line. Returns the columns `error`, `has_unmapped`, `has_nul` and `may_be_request`.

    `error` is the reason why the line cannot be parsed, or _BLANK, or NULL. `has_unmapped` is true if the line may have
    keys that the format does not map. Most lines have the same keys as one of the first lines, so only the keys of the
    other lines are checked one by one.
    """
    _add_usual_keys(texts, format_)
    known = set(format_.known_keys)
    is_usual: dict[str, list[str]] = {"$is_mapped": [], "$is_usual": []}
    for keys in format_.usual_keys:
        is_usual["$is_mapped" if known.issuperset(keys) else "$is_usual"].append(literal(list(keys)))
    query = _CHECKED
    for name, usual in is_usual.items():
        # comparing hashes is three times faster than comparing lists
        found = f"hash(keys) in ({', '.join(f'hash({keys})' for keys in usual)})" if usual else "false"
        query = query.replace(name, found)
    query = query.replace("$may_be_request", format_.may_be_request)
    params = {"known": list(format_.known_keys)}
    columns = {"line": texts, "is_overlong": is_overlong}
    try:
        return parser.run(query.replace(_KEYS_OR_NULL, _KEYS), params, **columns)
    except duckdb.InvalidInputException:
        return parser.run(query, params, **columns)


def _add_usual_keys(texts: pa.ChunkedArray, format_: Format) -> None:
    """Adds the keys of the first lines to the usual keys of the format."""
    if len(format_.usual_keys) >= MOST_USUAL_KEYS:
        return
    for line in texts[:SAMPLED_LINES].drop_null():
        text = line.as_py()[:LONGEST_SAMPLED]
        with suppress(ValueError, RecursionError):
            keys = json.loads(text, object_pairs_hook=lambda pairs: tuple(key for key, _ in pairs))
            # in DuckDB, an empty list and NULL have the same hash
            if isinstance(keys, tuple) and 0 < len(set(keys)) == len(keys) and keys not in format_.usual_keys:
                format_.usual_keys.append(keys)
