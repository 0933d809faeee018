"""Input formats: each is a DuckDB script that ends in a select of the event contract's columns.

The select reads `events` (`source_line`, `line`, the line as a struct `event`, `extra`) where the script creates a type
`event`, else `lines` (`source_line`, `line`); it passes `source_line` on, and the lines that it leaves out are skipped.
A macro `recognises(line)` says whether a line is of the format.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from loader import contract
from loader.errors import UsageError

FOLDER = Path(__file__).parent
MACROS = FOLDER.parent / "macros.sql"
LONGEST_KEPT_IN_EXTRA = 8 << 20  # a merge patch takes many times the line's size in memory
LINES = pa.schema(
    [("source_line", pa.int64()), ("line", pa.large_string()), ("has_unmapped", pa.bool_())],
)


@dataclass(frozen=True)
class Format:
    """A format ready to run: `query` reads the registered table `batch` (LINES) on `connection`."""

    name: str
    connection: duckdb.DuckDBPyConnection
    query: str
    known_keys: tuple[str, ...]
    is_recognisable: bool


def names() -> list[str]:
    """The names of the formats that come with Tokenmart."""
    return sorted(path.stem for path in FOLDER.glob("*.sql"))


def description(name: str) -> str:
    """The comment that opens the format's script."""
    return (FOLDER / f"{name}.sql").read_text().splitlines()[0].removeprefix("-- ")


def read_format(name: str, *, time_zone: str = "UTC", keep_content: bool = False) -> Format:
    """Prepares the format of that name, or the one in the user's own file `name` (ending in .sql).

    Raises UsageError if there is none, or if its SQL does not run or does not keep to the contract.
    """
    path = Path(name) if name.endswith(".sql") else FOLDER / f"{name}.sql"
    if not path.is_file():
        known = ", ".join(names())
        raise UsageError(f"There is no format {name}.", f"Use one of {known}, or the path of your own .sql file.")
    connection = duckdb.connect(config={"memory_limit": "512MB"})
    try:
        connection.execute(f"set timezone = '{time_zone}'")
    except duckdb.Error:
        raise UsageError(f"There is no time zone {time_zone}.", "Use a name such as Europe/Berlin or UTC.") from None
    connection.execute(MACROS.read_text())
    try:
        *preparations, select = connection.extract_statements(path.read_text())
        for statement in preparations:
            connection.execute(statement)
        return _prepared(path, connection, select.query.strip().rstrip(";"), keep_content)
    except (duckdb.Error, ValueError) as error:
        raise UsageError(f"{path.name} is not a usable format: {error}") from error


def _prepared(path: Path, connection: duckdb.DuckDBPyConnection, select: str, keep_content: bool) -> Format:
    connection.register("batch", LINES.empty_table())
    shape = _shape(connection)
    relations = "lines as (select source_line, line, has_unmapped from batch)"
    if shape is not None:
        hidden = () if keep_content else contract.CONTENT_KEYS
        # deeper keys are not counted line by line: where there are any, every line is compared with the shape
        has_more = "true" if any(isinstance(field, Mapping) for field in shape.values()) else "has_unmapped"
        relations += f""",
            events as (
                select
                    source_line,
                    line,
                    json_transform(line, '{_quoted(shape)}') as event,
                    case
                        when not {has_more} then null
                        when strlen(line) > {LONGEST_KEPT_IN_EXTRA} then json_object('too_long_for_extra', strlen(line))
                        else nullif(json_merge_patch(line, '{_quoted(_mask(shape, hidden))}'), '{{}}')
                    end as extra
                from lines
            )"""
    relations += f", selected as ({select})"
    found = connection.sql(f"with {relations} select * from selected")
    columns = dict(zip(found.columns, map(str, found.types), strict=True))
    if "source_line" not in columns:
        raise ValueError("it must select source_line, so that every line can be accounted for")
    if unknown := columns.keys() - contract.FORMAT_COLUMNS.keys() - {"source_line"}:
        raise ValueError(f"the event contract has no column {', '.join(sorted(unknown))}")
    selected = {name: contract.Column(name, type_ == "JSON") for name, type_ in columns.items()}
    return Format(
        name=path.stem,
        connection=connection,
        query=f"with {relations}, {contract.conform(selected, keep_content=keep_content)}",
        known_keys=tuple(shape or ()),
        is_recognisable=bool(connection.execute(
            "select 1 from duckdb_functions() where function_name = 'recognises'"
        ).fetchall()),
    )


def recognise(lines: Sequence[str], formats: Sequence[Format]) -> tuple[Format | None, dict[str, int]]:
    """The format that knows the most of `lines` (None where none knows any), and how many lines each one knows.

    Raises ValueError where two formats know equally many.
    """
    table = pa.table({"line": pa.array(lines, pa.large_string())})
    known = {}
    for format_ in formats:
        format_.connection.register("head", table)
        known[format_.name] = format_.connection.execute(
            "select count(*) from head where try(recognises(line))"
        ).fetchall()[0][0]
    best = sorted(formats, key=lambda format_: known[format_.name], reverse=True)
    if not best or not known[best[0].name]:
        return None, known
    if len(best) > 1 and known[best[0].name] == known[best[1].name]:
        raise ValueError(f"it may be {best[0].name} or {best[1].name}: name it with --format")
    return best[0], known


def _shape(connection: duckdb.DuckDBPyConnection) -> dict[str, Any] | None:
    """The fields of the script's type `event`, nested as it is; None where the script has no such type."""
    if not connection.execute("select 1 from duckdb_types() where type_name = 'event'").fetchall():
        return None
    return _fields(connection.sql("select cast(null as event) as event").types[0])


def _fields(type_: Any) -> dict[str, Any]:
    return {
        name: _fields(child) if child.id == "struct" else str(child)
        for name, child in type_.children
    }


def _mask(shape: Mapping[str, Any], hidden: Sequence[str]) -> dict[str, Any]:
    """The merge patch that takes out of a line what the shape maps, and the content."""
    mapped = {name: _mask(field, hidden) if isinstance(field, Mapping) else None for name, field in shape.items()}
    return {**dict.fromkeys(hidden), **mapped}


def _quoted(value: Any) -> str:
    return json.dumps(value).replace("'", "''")
