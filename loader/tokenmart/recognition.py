"""Recognizes the formats of many files at once by their first lines."""

import json
from collections.abc import Sequence

import duckdb
import pyarrow as pa

from tokenmart.documents import document_blocks
from tokenmart.files import InputFile
from tokenmart.formats import Parser, names
from tokenmart.lines import Block, blocks

FEW_LINES, MANY_LINES = 4, 200
LONGEST_RECOGNIZED = 1 << 20


class UnknownFormatError(Exception):
    """Raised if the format of a file cannot be recognized."""


def recognized_formats(parser: Parser, files: Sequence[tuple[InputFile, Block]]) -> list[str | UnknownFormatError]:
    """The format of each file, by its first block, or why it cannot be recognized.

    A file has the built-in format that recognizes the most of its first MANY_LINES lines. To save time, only FEW_LINES
    lines are checked first. Their result counts if one format recognizes more than half of them and no other format
    recognizes any.
    """
    if not files:
        return []
    few = [_texts(block, FEW_LINES) for _, block in files]
    found: list[str | UnknownFormatError] = []
    for (file, block), sample, matches in zip(files, few, _count_by_sample(parser, few, names(), "line"), strict=True):
        (name, most), (_, second) = _by_count(matches)[:2]
        found.append(name if most > len(sample) / 2 and not second else _recognized_by_more_lines(parser, file, block))
    return found


def format_mismatches(
    parser: Parser, name: str, files: Sequence[tuple[InputFile, Block]]
) -> list[UnknownFormatError | None]:
    """For each file, an error if the format `name`, given by the user, recognizes none of its first lines; else None.

    Formats without `recognizes` accept every file.
    """
    if "recognizes" not in parser.script(name).macros:
        return [None] * len(files)
    samples = [[line for line in _texts(block, MANY_LINES) if line.lstrip().startswith("{")] for _, block in files]
    few = _count_by_sample(parser, [sample[:FEW_LINES] for sample in samples], [name], "line")
    errors: list[UnknownFormatError | None] = []
    for (file, block), sample, matches in zip(files, samples, few, strict=True):
        if not sample or matches[name] or counts(parser, sample, [name])[name]:
            errors.append(None)
            continue
        other = _recognized_by_more_lines(parser, file, block)
        what = other if isinstance(other, UnknownFormatError) else f"it looks like {other}"
        errors.append(UnknownFormatError(f"not {name}: {what}"))
    return errors


def head(file: InputFile) -> list[str]:
    """The first MANY_LINES lines of a file as text. Raises OSError and EOFError if the file cannot be read."""
    with file.open() as (stream, _):
        found = document_blocks(file) or blocks(stream, final=True)
        return next((_texts(block, MANY_LINES) for block in found), [])


def counts(parser: Parser, lines: Sequence[str], formats: Sequence[str] | None = None) -> dict[str, int]:
    """The number of lines that each format recognizes; by default, for all built-in formats."""
    formats = names() if formats is None else formats
    (matches,) = _count_by_sample(parser, [lines], formats, "line")
    if not any(matches.values()) and any("\\u" in line for line in lines):
        (matches,) = _count_by_sample(parser, [lines], formats, "without_lone_surrogates(line)")
    return matches


def best(matches: dict[str, int]) -> str | None:
    """The format that recognizes the most lines; None if none recognizes any. Raises UnknownFormatError for a tie."""
    (name, most), (other, second) = _by_count(matches)[:2]
    if most and most == second:
        raise UnknownFormatError(f"it can be {name} or {other}; set the format with --format")
    return name if most else None


def unrecognized(lines: Sequence[str], *, may_quote: bool) -> str:
    """The reason why no format recognizes these first lines of a file, with the number of the first nonblank line.

    The line is quoted only with `may_quote`, because a file that the user did not name can contain secrets.
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
        f"unknown format: line {number} has the keys {keys}."
        " Set a format with --format, or write a custom format (see the README)"
    )


def _recognized_by_more_lines(parser: Parser, file: InputFile, block: Block) -> str | UnknownFormatError:
    lines = _texts(block, MANY_LINES)
    try:
        name = best(counts(parser, lines))
    except UnknownFormatError as error:
        return error
    return name or UnknownFormatError(unrecognized(lines, may_quote=file.is_named))


def _count_by_sample(
    parser: Parser, samples: Sequence[Sequence[str]], formats: Sequence[str], text: str
) -> list[dict[str, int]]:
    """For each sample, the number of lines that each format recognizes. `text` is an SQL expression for the line."""
    numbers = [number for number, sample in enumerate(samples) for _ in sample]
    lines = [_shortened(line, parser) for sample in samples for line in sample]
    matches = [dict.fromkeys(formats, 0) for _ in samples]
    _add_counts(parser, pa.array(numbers, pa.int64()), pa.array(lines, pa.large_string()), text, matches)
    return matches


def _add_counts(parser: Parser, numbers: pa.Array, lines: pa.Array, text: str, matches: list[dict[str, int]]) -> None:
    formats = list(matches[0]) if matches else []
    count_columns = [
        f'count(*) filter (where try("{parser.script(name).schema}".recognizes(line))) as "{name}"' for name in formats
    ]
    # try() is not enough: DuckDB can evaluate a part that several formats have in common outside of it
    valid = f"select number, if(try(json_valid({text})), {text}, 'null') as line from batch"
    query = f"with valid as ({valid}) select number, {', '.join(count_columns)} from valid group by number"
    try:
        found = parser.run(query, number=pa.chunked_array([numbers]), line=pa.chunked_array([lines]))
    except duckdb.OutOfMemoryException:
        if len(lines) > 1:
            half = len(lines) // 2
            _add_counts(parser, numbers[:half], lines[:half], text, matches)
            _add_counts(parser, numbers[half:], lines[half:], text, matches)
        return
    for row in found.to_pylist():
        for name in formats:
            matches[row["number"]][name] += row[name]


def _by_count(matches: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(matches.items(), key=lambda match: -match[1])


def _shortened(line: str, parser: Parser) -> str:
    """Removes the values of a long line to save memory. The macro `recognizes` needs only keys."""
    if len(line) <= LONGEST_RECOGNIZED:
        return line
    try:
        found = parser.run("select try(json_keys(line)) as keys from batch", line=pa.chunked_array([[line]]))
    except duckdb.OutOfMemoryException:
        return line[:80]
    keys = found["keys"][0].as_py()
    return line[:80] if keys is None else json.dumps(dict.fromkeys(keys))


def _texts(block: Block, lines: int) -> list[str]:
    return [_first_object(line.as_py().decode("utf-8", "replace")) for line in block.lines[:lines]]


def _first_object(line: str) -> str:
    """The first object of a line that is an array, because its objects are read as if they were lines."""
    start = line.find("{") if line.startswith("[") else -1
    if start < 0 or line[1:start].strip():
        return line
    try:
        _, end = json.JSONDecoder().raw_decode(line, start)
    except (ValueError, RecursionError):
        return line
    return line[start:end]
