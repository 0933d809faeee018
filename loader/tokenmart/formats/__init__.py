"""Input formats: each is a DuckDB script that ends in a select of the event contract's columns.

If the script creates a type `event`, the select reads `events`: `line_id`, `line`, the line as a struct `event`, and
`extra`. Otherwise it reads `lines`: `line_id` and `line`. It must return `line_id`. Lines that it filters out are
skipped. If it does not select `occurred_at`, its lines get the time of their file. The optional macro
`recognizes(line)` is true if a line has the format. The optional macro `may_be_request(line)` is false for lines that
the select filters out; these lines are skipped without parsing them.

Lines can need facts from earlier lines of the same file, such as the session in the first line. Then the script creates
a type `context`, a struct with these facts, and a macro `facts(line)` that returns such a struct with what the line
states, and NULL for the rest. `lines` and `events` then also have the column `context`, with what all earlier lines of
the file have stated, and `line_number`. Of a fact that several lines state, the last value counts, or the first one if
its name begins with `first_`. The optional macro `may_have_facts(line)` is false for lines that state none.

A script can also create a view `tool_calls`, a query like the final select that returns `line_id` and some of the
contract's TOOL_CALL_COLUMNS: what a line reports about calls of tools. It sees all lines, also those that are skipped.
"""

import datetime as dt
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from tokenmart import contract
from tokenmart.conform import conform, conform_tool_calls
from tokenmart.errors import UsageError
from tokenmart.prepared import PreparedQueries
from tokenmart.unmapped import Keep, Unmapped

FOLDER = Path(__file__).parent
MACROS = FOLDER.parent / "macros.sql"
PARSING_MEMORY = "512MB"
SANDBOX: dict[str, Any] = {
    "memory_limit": PARSING_MEMORY,
    "enable_external_access": "false",
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "temp_directory": "",
    "threads": 1,
}
LONGEST_KEPT_IN_EXTRA = 8 << 20  # json_merge_patch takes many times the size of the line in memory
LINES = pa.schema([("line_id", pa.int64()), ("line", pa.large_string()), ("has_unmapped", pa.bool_())])
CONTEXT = pa.schema([("line_number", pa.int64()), ("context", pa.string())])
"""The number of a line in its file, from 1, and the context of the line as JSON."""
_CREATED = re.compile(
    r'create (?P<kind>macro|function|type|view) (?!if not exists )(?P<name>"[^"]+"|\w+) (?![.])', re.IGNORECASE
)
_TOOL_CALLS = re.compile(r"create\s+view\s+tool_calls\s+as\b", re.IGNORECASE)
_SHARED = "select lower(function_name) from duckdb_functions() where schema_name = 'main' and not internal"


@dataclass(frozen=True)
class Script:
    """The script of a format, of which all statements except the final `select` have run.

    `schema` contains the `macros` and `types` that it has created. `tool_calls` is the query of the view with this
    name, None if there is none.
    """

    schema: str
    select: str
    tool_calls: str | None
    macros: frozenset[str]
    types: frozenset[str]


@dataclass(frozen=True)
class Format:
    """A format that is ready to run.

    `query` reads a table `batch` with the schema `lines` (LINES, and CONTEXT if the format has one), and returns
    line_id, the contract's FORMAT_COLUMNS and OMISSIONS, and reject_reason. `context_query` returns the context of
    lines; None for a format without one. `containers` are the dotted paths of objects of which the format maps only a
    part. `usual_keys` are the keys of earlier lines, in the order of each line; parsing adds more. `may_be_request` is
    SQL that is false only for lines that the format skips. `tool_calls_query` reads the same table as `query` and
    returns line_id and TOOL_CALL_COLUMNS; None for a format without tool calls.
    """

    name: str
    query: str
    known_keys: tuple[str, ...]
    containers: tuple[str, ...]
    has_recognizer: bool
    may_be_request: str
    context_query: str | None = None
    tool_calls_query: str | None = None
    usual_keys: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def has_context(self) -> bool:
        """Whether lines need facts from earlier lines."""
        return self.context_query is not None

    @property
    def lines(self) -> pa.Schema:
        """The schema of the lines that `query` reads."""
        return pa.schema([*LINES, *CONTEXT]) if self.has_context else LINES


class Parser:
    """An in-memory DuckDB database with the formats in use, each in its own schema.

    A format can be untrusted SQL, so the database cannot access files, the network or Python variables.
    """

    def __init__(
        self,
        *,
        time_zone: str = "UTC",
        keep: Keep | None = None,
        defaults: Mapping[str, str] | None = None,
        needs_time: bool = True,
    ) -> None:
        """`defaults` and `needs_time` are those of `conform`. Raises UsageError if the time zone does not exist."""
        self._options: dict[str, Any] = {
            "time_zone": time_zone,
            "keep": keep,
            "defaults": defaults,
            "needs_time": needs_time,
        }
        self._keep_content = keep.content if keep else False
        self._defaults = defaults or {}
        self._needs_time = needs_time
        self.unmapped = Unmapped(keep or Keep(), self.run)
        self._scripts: dict[str, Script] = {}
        self._formats: dict[str, Format] = {}
        self._connection = duckdb.connect(config=SANDBOX)
        self._queries = PreparedQueries(self._connection)
        try:
            self._connection.execute("set timezone = $1", [time_zone])
        except duckdb.Error:
            raise UsageError(f"There is no time zone {time_zone}.", "Use a name such as Europe/Berlin.") from None
        self._connection.execute(MACROS.read_text())
        self._connection.execute("set python_enable_replacements = false")
        self._connection.execute("set lock_configuration = true")

    def copy(self) -> "Parser":
        """A new parser with the same options, for another thread."""
        return Parser(**self._options)

    @cached_property
    def _shared_macros(self) -> frozenset[str]:
        return frozenset(name for (name,) in self._connection.execute(_SHARED).fetchall())

    def script(self, name: str) -> Script:
        """The script of a format, which is sufficient to recognize lines. Raises UsageError as `format` does."""
        if name not in self._scripts:
            path = Path(name) if name.endswith(".sql") else FOLDER / f"{name}.sql"
            if not path.is_file():
                raise UsageError(
                    f"There is no format {name}.",
                    f"Use one of {', '.join(names())}, or the path of your own .sql file.",
                )
            with _format_errors(name):
                self._scripts[name] = self._create_script(path)
        return self._scripts[name]

    def format(self, name: str) -> Format:
        """The built-in format `name`, or the custom format in the file `name`, which ends in .sql.

        Raises UsageError if it does not exist, if its SQL fails, or if it does not follow the event contract.
        """
        if name not in self._formats:
            script = self.script(name)
            with _format_errors(name):
                self._formats[name] = self._prepare_format(script)
        return self._formats[name]

    def run(self, query: str, params: Mapping[str, Any] | None = None, **columns: pa.ChunkedArray) -> pa.Table:
        """Runs a query on the table `batch`, which has these columns. See `PreparedQueries.run` for `params`."""
        return self._queries.run(query, params or {}, columns)

    def parse(self, format_: Format, lines: pa.Table) -> pa.Table:
        """Runs a format on `lines` (`Format.lines`), and returns the result of `Format.query`.

        Raises UsageError if the SQL of the format fails, and duckdb.OutOfMemoryException.
        """
        return self._run_on(lines, format_, format_.query)

    def tool_calls(self, format_: Format, lines: pa.Table) -> pa.Table:
        """The result of `Format.tool_calls_query` of a format that has one. Raises the same as `parse`."""
        return self._run_on(lines, format_, str(format_.tool_calls_query))

    def _run_on(self, lines: pa.Table, format_: Format, query: str) -> pa.Table:
        self._connection.execute(f"set search_path = '\"{format_.name}\",main'")
        try:
            return self.run(query, **dict(zip(lines.column_names, lines.columns, strict=True)))
        except duckdb.OutOfMemoryException:
            raise
        except duckdb.Error as error:
            raise UsageError(
                f"The format {format_.name} failed: {error}", "Wrap an expression in try() to get NULL instead."
            ) from error

    def time(self, text: str) -> dt.datetime | None:
        """The time that a text means, in the time zone of the parser if it names none; None if it is not a time."""
        query = "select cast(try_cast($1 as timestamptz) at time zone 'UTC' as timestamp)"
        (found,) = self._connection.execute(query, [text]).fetchone() or (None,)
        return found.replace(tzinfo=dt.UTC) if found else None

    def close(self) -> None:
        """Closes the database."""
        self._connection.close()

    def _create_script(self, path: Path) -> Script:
        """Creates the types and macros of a script in its own schema."""
        schema = re.sub(r"\W", "_", path.stem)
        self._connection.execute(f'create schema "{schema}"')
        self._connection.execute(f"set search_path = '\"{schema}\",main'")
        statements = self._connection.extract_statements(path.read_text())
        if not statements:
            raise ValueError("it has no select statement")
        *preparations, select = statements
        macros: set[str] = set()
        types: set[str] = set()
        tool_calls: str | None = None
        for statement in preparations:
            created = _CREATED.match(_without_comments(statement.query))
            if statement.type != duckdb.StatementType.CREATE or created is None:
                text = _without_trailing_comments(statement.query).strip()[:80]
                raise ValueError(
                    "before the select it can only create types and macros, without `or replace`, `if not exists` or a"
                    f" schema in their names; this statement is not allowed: {text}"
                )
            name = created["name"].strip('"')
            if created["kind"].lower() == "view":
                if not (view := _TOOL_CALLS.search(statement.query)):
                    raise ValueError("the only view that it can create is: create view tool_calls as select ...")
                tool_calls = _without_trailing_comments(statement.query[view.end() :])
                continue
            if name.lower() in self._shared_macros:
                raise ValueError(f"Tokenmart already has a macro {name}; choose another name")
            self._connection.execute(statement)
            (types if created["kind"].lower() == "type" else macros).add(name.lower())
        query = _without_trailing_comments(select.query)
        return Script(schema, query, tool_calls, frozenset(macros), frozenset(types))

    def _prepare_format(self, script: Script) -> Format:
        self._connection.execute(f"set search_path = '\"{script.schema}\",main'")
        shape = self._shape("event") if "event" in script.types else None
        context = self._shape("context") if "context" in script.types else None
        self._connection.register("batch", pa.schema([*LINES, *(CONTEXT if context else ())]).empty_table())
        carried = f", line_number, json_transform(context, '{_json_literal(context)}') as context" if context else ""
        relations = f"lines as (select line_id, line, has_unmapped{carried} from batch)"
        if shape is not None:
            relations += f", events as ({self._events(shape, has_context=bool(context))})"
        query = f"with {relations}, selected as ({script.select})"
        selected = self._selected(query, contract.FORMAT_COLUMNS)
        conformed = conform(
            selected,
            keep_content=self._keep_content,
            defaults=self._defaults,
            needs_time=self._needs_time and "occurred_at" in selected,
        )
        tool_calls_query = None
        if script.tool_calls:
            reported = f"with {relations}, selected as ({script.tool_calls})"
            columns = self._selected(reported, contract.TOOL_CALL_COLUMNS)
            tool_calls_query = f"{reported}, {conform_tool_calls(columns, defaults=self._defaults)}"
        may_be_request = f'"{script.schema}".may_be_request(line)' if "may_be_request" in script.macros else "true"
        return Format(
            script.schema,
            f"{query}, {conformed}",
            tuple(shape or ()),
            tuple(_containers(shape or {})),
            "recognizes" in script.macros,
            f"coalesce({may_be_request}, true)",
            _context_query(script, context) if context else None,
            tool_calls_query,
        )

    def _selected(self, query: str, allowed: Mapping[str, Any]) -> dict[str, bool]:
        """The columns of the relation `selected` of a query, each with whether its type is JSON."""
        found = self._connection.sql(f"{query} select * from selected")
        columns = dict(zip(found.columns, map(str, found.types), strict=True))
        if "line_id" not in columns:
            raise ValueError("it must select line_id, so that every line is counted")
        if unknown := columns.keys() - allowed.keys() - {"line_id"}:
            raise ValueError(f"the event contract has no column {', '.join(sorted(unknown))}")
        return {name: type_ == "JSON" for name, type_ in columns.items()}

    def _shape(self, name: str) -> dict[str, Any]:
        """The fields of a type of the script, nested."""
        type_: Any = self._connection.sql(f"select cast(null as {name}) as value").types[0]
        if type_.id != "struct":
            raise ValueError(f"its type {name} must be a struct")
        return _fields(type_)

    def _events(self, shape: Mapping[str, Any], *, has_context: bool) -> str:
        # has_unmapped covers only top-level keys: if there are nested ones, `extra` is computed for every line
        has_more = "true" if any(isinstance(field, Mapping) for field in shape.values()) else "has_unmapped"
        return f"""
            select
                line_id,
                line,
                json_transform(line, '{_json_literal(shape)}') as event,
                case
                    when not {has_more} then null
                    when strlen(line) > {LONGEST_KEPT_IN_EXTRA} then json_object('too_long_for_extra', strlen(line))
                    else nullif(json_merge_patch(line, '{_json_literal(_removal_patch(shape))}'), '{{}}')
                end as extra
                {", line_number, context" if has_context else ""}
            from lines"""


def _context_query(script: Script, shape: Mapping[str, Any]) -> str:
    """SQL that returns `file` and `context`, the context of each line as JSON, in the order of line_id and file.

    It reads a table `batch` with `file`, `line_id`, `line` and `carried`. In addition to the lines, it has one row per
    file with the line_id -1 and the context of the lines before (`carried`, JSON), and one with the largest line_id, to
    get the context after all lines.
    """
    if "facts" not in script.macros:
        raise ValueError("it has a type context, but no macro facts")
    schema = f'"{script.schema}"'
    may_have_facts = f"coalesce({schema}.may_have_facts(line), true)" if "may_have_facts" in script.macros else "true"
    values = ", ".join(
        f"'{name}', {'first' if name.startswith('first_') else 'last'}_value(stated.{name} ignore nulls) over stating"
        for name in shape
    )
    return f"""
        with
            facts as (
                select
                    file,
                    line_id,
                    cast(
                        case
                            when carried is not null then json_transform(carried, '{_json_literal(shape)}')
                            else try({schema}.facts(if(try(json_valid(line)), line, null)))
                        end as {schema}.context
                    ) as stated
                from batch
                where carried is not null or {may_have_facts}
            ),
            contexts as (
                select file, line_id, json_object({values}) as context
                from facts
                window stating as (
                    partition by file order by line_id rows between unbounded preceding and current row
                )
            )
        select batch.file, cast(contexts.context as varchar) as context
        from batch
        asof left join contexts on batch.file = contexts.file and batch.line_id > contexts.line_id
        order by batch.line_id, batch.file
    """


@contextmanager
def _format_errors(name: str) -> Iterator[None]:
    """Raises errors in the SQL of a format as UsageError."""
    try:
        yield
    except (duckdb.Error, ValueError) as error:
        file = name if name.endswith(".sql") else f"{name}.sql"
        raise UsageError(f"{Path(file).name} is not a usable format: {error}") from error


def names() -> list[str]:
    """The names of the built-in formats."""
    return sorted(path.stem for path in FOLDER.glob("*.sql"))


def description(name: str) -> str:
    """The description of a built-in format: the first comment of its script."""
    return (FOLDER / f"{name}.sql").read_text().splitlines()[0].removeprefix("-- ")


def _fields(type_: Any) -> dict[str, Any]:
    return {name: _fields(child) if child.id == "struct" else str(child) for name, child in type_.children}


def _without_trailing_comments(query: str) -> str:
    """A statement without its final semicolon and comments."""
    end = len(query.encode())
    for offset, type_ in reversed(duckdb.tokenize(query)):
        text = query.encode()[offset:end].decode()
        if type_ != duckdb.token_type.comment and text.strip() != ";":
            break
        end = offset
    return query.encode()[:end].decode() + "\n"


def _without_comments(query: str) -> str:
    """The tokens of a statement, separated by single spaces, without comments."""
    data, tokens = query.encode(), duckdb.tokenize(query)
    ends = [offset for offset, _ in tokens[1:]] + [len(data)]
    tokens_without_comments = (
        data[offset:end].decode().strip()
        for (offset, type_), end in zip(tokens, ends, strict=True)
        if type_ != duckdb.token_type.comment
    )
    return " ".join(tokens_without_comments)


def _containers(shape: Mapping[str, Any], path: str = "") -> list[str]:
    """The dotted paths of the fields that are structs."""
    structs = [(path + name, field) for name, field in shape.items() if isinstance(field, Mapping)]
    return [found for name, field in structs for found in (name, *_containers(field, f"{name}."))]


def _removal_patch(shape: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON merge patch that removes all mapped keys from a line."""
    return {name: _removal_patch(field) if isinstance(field, Mapping) else None for name, field in shape.items()}


def _json_literal(value: Any) -> str:
    return json.dumps(value).replace("'", "''")
