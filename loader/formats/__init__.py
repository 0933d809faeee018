"""Input formats: each is a DuckDB script that ends in a select of the event contract's columns.

The select reads `events` (`line_id`, `line`, the line as a struct `event`, `extra`) where the script creates a type
`event`, else `lines` (`line_id`, `line`); it passes `line_id` on, and the lines that it leaves out are skipped. A macro
`recognises(line)` says whether a line is of the format.
"""

import json
import re
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
PARSING_MEMORY = "512MB"
LONGEST_RECOGNISED = 1 << 20
LONGEST_KEPT_IN_EXTRA = 8 << 20  # a merge patch takes many times the line's size in memory
LINES = pa.schema([("line_id", pa.int64()), ("line", pa.large_string()), ("has_unmapped", pa.bool_())])


@dataclass(frozen=True)
class Format:
    """A format ready to run: `query` reads a table `batch` (LINES).

    It gives line_id, the contract's FORMAT_COLUMNS and reject_reason.
    """

    name: str
    query: str
    known_keys: tuple[str, ...]


class Parser:
    """An in-memory DuckDB with the formats that have been asked for, each in a schema of its own."""

    def __init__(self, *, time_zone: str = "UTC", keep_content: bool = False) -> None:
        """Raises UsageError for a time zone that does not exist."""
        self._keep_content = keep_content
        self._formats: dict[str, Format] = {}
        self._connection = duckdb.connect(config={"memory_limit": PARSING_MEMORY})
        try:
            self._connection.execute("set timezone = $1", [time_zone])
        except duckdb.Error:
            raise UsageError(f"There is no time zone {time_zone}.", "Use a name such as Europe/Berlin.") from None
        self._connection.execute(MACROS.read_text())

    def format(self, name: str) -> Format:
        """The format of that name, or the one in the user's own file `name` (ending in .sql).

        Raises UsageError if there is none, or if its SQL does not run or does not keep to the contract.
        """
        if name not in self._formats:
            path = Path(name) if name.endswith(".sql") else FOLDER / f"{name}.sql"
            if not path.is_file():
                raise UsageError(
                    f"There is no format {name}.",
                    f"Use one of {', '.join(names())}, or the path of your own .sql file.",
                )
            try:
                self._formats[name] = self._prepared(path)
            except (duckdb.Error, ValueError) as error:
                raise UsageError(f"{path.name} is not a usable format: {error}") from error
        return self._formats[name]

    def recognise(self, lines: Sequence[str]) -> tuple[str | None, dict[str, int]]:
        """The format that comes with Tokenmart and knows the most of `lines`, and how many each one knows.

        None where none knows any; raises ValueError where two know equally many.
        """
        recognisers = ", ".join(
            f'count(*) filter (where try("{self.format(name).name}".recognises(line)))' for name in names()
        )
        heads = [line if len(line) <= LONGEST_RECOGNISED else self._keys_alone(line) for line in lines]
        self._connection.register("head", pa.table({"line": pa.array(heads, pa.large_string())}))
        counts = self._connection.execute(f"select {recognisers} from head").fetchall()[0]
        known = dict(zip(names(), counts, strict=True))
        best, second = sorted(known, key=lambda name: -known[name])[:2]
        if not known[best]:
            return None, known
        if known[best] == known[second]:
            raise ValueError(f"it may be {best} or {second}: name it with --format")
        return best, known

    def _keys_alone(self, line: str) -> str:
        """A line without its values: a recogniser asks for keys, and would take a multiple of the line in memory."""
        keys = self._connection.execute("select try(json_keys($1))", [line]).fetchall()[0][0]
        return line[:80] if keys is None else json.dumps(dict.fromkeys(keys))

    def run(self, query: str, params: Mapping[str, Any] | None = None, **columns: pa.ChunkedArray) -> pa.Table:
        """Runs a query over these columns as the table `batch`."""
        self._connection.register("batch", pa.table(columns))
        return self._connection.sql(query, params=dict(params or {})).to_arrow_table()

    def parse(self, format_: Format, lines: pa.Table) -> pa.Table:
        """Runs a format over `lines` (LINES)."""
        self._connection.execute(f"set search_path = '\"{format_.name}\",main'")
        try:
            return self.run(format_.query, **dict(zip(lines.column_names, lines.columns, strict=True)))
        except duckdb.Error as error:
            raise UsageError(
                f"The format {format_.name} failed: {error}", "try() makes a NULL of what fails."
            ) from error

    def _prepared(self, path: Path) -> Format:
        schema = re.sub(r"\W", "_", path.stem)
        self._connection.execute(f'create schema "{schema}"')
        self._connection.execute(f"set search_path = '\"{schema}\",main'")
        statements = self._connection.extract_statements(path.read_text())
        if not statements:
            raise ValueError("it has no select")
        *preparations, select = statements
        for statement in preparations:
            self._connection.execute(statement)
        self._connection.register("batch", LINES.empty_table())
        shape = self._shape(schema)
        relations = "lines as (select line_id, line, has_unmapped from batch)"
        if shape is not None:
            relations += f", events as ({self._events(shape)})"
        relations += f", selected as ({_without_end(select.query)})"
        found = self._connection.sql(f"with {relations} select * from selected")
        columns = dict(zip(found.columns, map(str, found.types), strict=True))
        if "line_id" not in columns:
            raise ValueError("it must select line_id, so that every line can be accounted for")
        if unknown := columns.keys() - contract.FORMAT_COLUMNS.keys() - {"line_id"}:
            raise ValueError(f"the event contract has no column {', '.join(sorted(unknown))}")
        selected = {name: type_ == "JSON" for name, type_ in columns.items()}
        query = f"with {relations}, {contract.conform(selected, keep_content=self._keep_content)}"
        return Format(schema, query, tuple(shape or ()))

    def _shape(self, schema: str) -> dict[str, Any] | None:
        """The fields of the script's type `event`, nested as it is; None where the script has no such type."""
        has_type = f"select 1 from duckdb_types() where schema_name = '{schema}' and type_name = 'event'"
        if not self._connection.execute(has_type).fetchall():
            return None
        type_: Any = self._connection.sql("select cast(null as event) as event").types[0]
        if type_.id != "struct":
            raise ValueError("its type event must be a struct")
        return _fields(type_)

    def _events(self, shape: Mapping[str, Any]) -> str:
        hidden = () if self._keep_content else contract.CONTENT_KEYS
        # deeper keys are not counted line by line: where there are any, every line is compared with the shape
        has_more = "true" if any(isinstance(field, Mapping) for field in shape.values()) else "has_unmapped"
        unmapped = f"json_merge_patch(line, '{_quoted(_mask(shape, hidden))}')"
        for name in _nested(shape):
            # an object of which nothing is left; inside a text its quotes would be escaped
            for emptied in (f',"{name}":{{}}', f'"{name}":{{}},', f'"{name}":{{}}'):
                unmapped = f"replace({unmapped}, '{emptied}', '')"
        extra = "unmapped"
        if hidden:
            # content further down, under a key that nobody knows
            has_content = f"regexp_matches(unmapped, '\"({'|'.join(hidden)})\"\\s*:')"
            extra = f"case when {has_content} then flat_json(unmapped) else unmapped end"
        return f"""
            select line_id, line, event, {extra} as extra
            from (
                select
                    line_id,
                    line,
                    json_transform(line, '{_quoted(shape)}') as event,
                    case
                        when not {has_more} then null
                        when strlen(line) > {LONGEST_KEPT_IN_EXTRA} then json_object('too_long_for_extra', strlen(line))
                        else nullif({unmapped}, '{{}}')
                    end as unmapped
                from lines
            )"""


def names() -> list[str]:
    """The names of the formats that come with Tokenmart."""
    return sorted(path.stem for path in FOLDER.glob("*.sql"))


def description(name: str) -> str:
    """The comment that opens the format's script."""
    return (FOLDER / f"{name}.sql").read_text().splitlines()[0].removeprefix("-- ")


def _fields(type_: Any) -> dict[str, Any]:
    return {name: _fields(child) if child.id == "struct" else str(child) for name, child in type_.children}


def _without_end(query: str) -> str:
    """A statement without its semicolon and the comments at its end."""
    end = len(query.encode())
    for offset, type_ in reversed(duckdb.tokenize(query)):
        text = query.encode()[offset:end].decode()
        if type_ != duckdb.token_type.comment and text.strip() != ";":
            break
        end = offset
    return query.encode()[:end].decode() + "\n"


def _nested(shape: Mapping[str, Any]) -> list[str]:
    """The names of the fields that are structs, inner ones first."""
    structs = [(name, field) for name, field in shape.items() if isinstance(field, Mapping)]
    return [inner for name, field in structs for inner in (*_nested(field), name)]


def _mask(shape: Mapping[str, Any], hidden: Sequence[str]) -> dict[str, Any]:
    """The merge patch that takes out of a line what the shape maps, and the content."""
    mapped = {name: _mask(field, hidden) if isinstance(field, Mapping) else None for name, field in shape.items()}
    return {**dict.fromkeys(hidden), **mapped}


def _quoted(value: Any) -> str:
    return json.dumps(value).replace("'", "''")
