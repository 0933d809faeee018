"""Recognizes the format of files by their first lines, many files at once."""

import json
from collections.abc import Sequence

import duckdb
import pyarrow as pa

from tokenmart.files import InputFile
from tokenmart.formats import Parser, names
from tokenmart.lines import Block, blocks

FEW_LINES, MANY_LINES = 10, 200
LONGEST_RECOGNIZED = 1 << 20


class UnknownFormatError(Exception):
    """Raised if the format of a file cannot be recognized."""


def recognized(parser: Parser, files: Sequence[tuple[InputFile, Block]]) -> list[str | UnknownFormatError]:
    """The format of each file, by its first block, or why it cannot be recognized.

    It is the built-in format that recognizes the most of the first MANY_LINES lines. So many are looked at only if no
    format, or more than one, recognizes most of the first FEW_LINES.
    """
    if not files:
        return []
    few = [_texts(block, FEW_LINES) for _, block in files]
    found: list[str | UnknownFormatError] = []
    for (file, block), sample, matches in zip(files, few, _counted(parser, few, names(), "line"), strict=True):
        (name, most), (_, second) = _ranked(matches)[:2]
        found.append(name if most > len(sample) / 2 and not second else _looked_at_closely(parser, file, block))
    return found


def refused(parser: Parser, name: str, files: Sequence[tuple[InputFile, Block]]) -> list[UnknownFormatError | None]:
    """Why the format `name`, given by the user, cannot read each file: it recognizes none of the first lines."""
    if "recognizes" not in parser.script(name).macros:
        return [None] * len(files)
    samples = [[line for line in _texts(block, MANY_LINES) if line.lstrip().startswith("{")] for _, block in files]
    few = _counted(parser, [sample[:FEW_LINES] for sample in samples], [name], "line")
    found: list[UnknownFormatError | None] = []
    for (file, block), sample, matches in zip(files, samples, few, strict=True):
        if not sample or matches[name] or counts(parser, sample, [name])[name]:
            found.append(None)
            continue
        other = _looked_at_closely(parser, file, block)
        what = other if isinstance(other, UnknownFormatError) else f"it looks like {other}"
        found.append(UnknownFormatError(f"not {name}: {what}"))
    return found


def head(file: InputFile) -> list[str]:
    """The first lines of a file, from which its format is recognized."""
    with file.open() as (stream, _):
        return next((_texts(block, MANY_LINES) for block in blocks(stream, final=True)), [])


def counts(parser: Parser, lines: Sequence[str], formats: Sequence[str] | None = None) -> dict[str, int]:
    """How many of these lines each of the formats recognizes, by default of all built-in ones."""
    formats = names() if formats is None else formats
    (matches,) = _counted(parser, [lines], formats, "line")
    if not any(matches.values()) and any("\\u" in line for line in lines):
        (matches,) = _counted(parser, [lines], formats, "without_half_pairs(line)")
    return matches


def best(matches: dict[str, int]) -> str | None:
    """The format that recognizes the most lines, None if none does. Raises UnknownFormatError if two are equal."""
    (name, most), (other, second) = _ranked(matches)[:2]
    if most and most == second:
        raise UnknownFormatError(f"it may be {name} or {other}: set it with --format")
    return name if most else None


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


def _looked_at_closely(parser: Parser, file: InputFile, block: Block) -> str | UnknownFormatError:
    lines = _texts(block, MANY_LINES)
    try:
        name = best(counts(parser, lines))
    except UnknownFormatError as error:
        return error
    return name or UnknownFormatError(unrecognized(lines, may_quote=file.is_named))


def _counted(
    parser: Parser, samples: Sequence[Sequence[str]], formats: Sequence[str], text: str
) -> list[dict[str, int]]:
    """How many lines of each sample each format recognizes; `text` is SQL for the line."""
    numbers = [number for number, sample in enumerate(samples) for _ in sample]
    lines = [_shortened(line, parser) for sample in samples for line in sample]
    matches = [dict.fromkeys(formats, 0) for _ in samples]
    _count(parser, pa.array(numbers, pa.int64()), pa.array(lines, pa.large_string()), text, matches)
    return matches


def _count(parser: Parser, numbers: pa.Array, lines: pa.Array, text: str, matches: list[dict[str, int]]) -> None:
    formats = list(matches[0]) if matches else []
    counted = [
        f'count(*) filter (where try("{parser.script(name).schema}".recognizes({text}))) as "{name}"'
        for name in formats
    ]
    query = f"select number, {', '.join(counted)} from batch group by number"
    try:
        found = parser.run(query, number=pa.chunked_array([numbers]), line=pa.chunked_array([lines]))
    except duckdb.OutOfMemoryException:
        if len(lines) > 1:
            half = len(lines) // 2
            _count(parser, numbers[:half], lines[:half], text, matches)
            _count(parser, numbers[half:], lines[half:], text, matches)
        return
    for row in found.to_pylist():
        for name in formats:
            matches[row["number"]][name] += row[name]


def _ranked(matches: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(matches.items(), key=lambda match: -match[1])


def _shortened(line: str, parser: Parser) -> str:
    """A long line without its values: a recognizer asks for keys, and values take memory."""
    if len(line) <= LONGEST_RECOGNIZED:
        return line
    try:
        found = parser.run("select try(json_keys(line)) as keys from batch", line=pa.chunked_array([[line]]))
    except duckdb.OutOfMemoryException:
        return line[:80]
    keys = found["keys"][0].as_py()
    return line[:80] if keys is None else json.dumps(dict.fromkeys(keys))


def _texts(block: Block, lines: int) -> list[str]:
    return [line.as_py().decode("utf-8", "replace") for line in block.lines[:lines]]
