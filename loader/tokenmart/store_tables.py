"""The tables of other tools that Tokenmart can read from their databases, and the columns that it reads."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST_NAMES = 20
HOUR = 3_600


class StoreError(Exception):
    """Raised if a store cannot be read. The message says why, without passwords."""


class UnknownStoreError(StoreError):
    """Raised if a file is not a store that Tokenmart knows."""


@dataclass(frozen=True)
class StoreTable:
    """A table that a tool writes, whose rows become lines of a format.

    A table must have the columns `required`. Those of `optional` are read if it has them, and those of `content` only
    with --keep-content. Other columns are never read, because they may have content. `key` identifies a row.

    `time` are the columns with the time of the last change of a row, of which the first that exists is used. Without
    `time`, the rows are read in the order of their rowids: a changed row gets a new one. `document` is a column with a
    JSON object that is the line, and `ids` are the keys that are added to it, with their columns. A table that is not
    the default one of its tool is read only if the user names it.
    """

    name: str
    tool: str
    format: str
    required: tuple[str, ...]
    optional: tuple[str, ...] = ()
    content: tuple[str, ...] = ()
    json: tuple[str, ...] = ()
    key: tuple[str, ...] = ()
    time: tuple[str, ...] = ()
    document: str | None = None
    document_content: tuple[str, ...] = ()
    ids: tuple[tuple[str, str], ...] = ()
    is_default: bool = True

    def selected(self, columns: Sequence[str], *, keep_content: bool) -> list[str]:
        """The columns to read, of those that the table has."""
        content = self.content if keep_content else ()
        return [name for name in (*self.required, *self.optional, *content) if name in columns]

    def missing(self, columns: Sequence[str]) -> list[str]:
        """The required columns that the table does not have."""
        return [name for name in self.required if name not in columns]


@dataclass(frozen=True)
class StoreOptions:
    """How stores are read.

    `table` is the name of the table. Tables whose rows can change are read again from `overlap` seconds before the last
    row of the load before. `limit` is the greatest number of rows to read.
    """

    table: str | None = None
    overlap: int = HOUR
    keep_content: bool = False
    limit: int | None = None


SQLITE_TABLES = (
    StoreTable(
        name="messages",
        tool="claude-code-telegram",
        format="claude_code_telegram",
        required=("message_id", "session_id", "timestamp", "cost"),
        optional=("user_id", "duration_ms", "error"),
        content=("prompt", "response"),
        key=("message_id", "session_id", "timestamp"),
    ),
    StoreTable(
        name="tool_usage",
        tool="claude-code-telegram",
        format="claude_code_telegram",
        required=("id", "session_id", "tool_name", "timestamp", "success"),
        key=("id", "timestamp"),
        is_default=False,
    ),
    StoreTable(
        name="usage_records",
        tool="tokenmeter",
        format="tokenmeter",
        required=("id", "timestamp", "provider", "model", "input_tokens", "output_tokens", "total_cost"),
        optional=(
            *("cache_read_tokens", "cache_write_tokens", "input_cost", "output_cost", "session_id", "user_id", "tags"),
            *("is_estimate", "water_ml", "energy_wh"),
        ),
        json=("tags",),
        key=("id",),
    ),
    StoreTable(
        name="cost_points",
        tool="ctm",
        format="ctm",
        required=("ts", "session", "input_tokens", "output_tokens", "cache_tokens", "cost_usd_micros"),
        key=("ts", "session", "input_tokens", "output_tokens", "cache_tokens", "cost_usd_micros"),
    ),
    StoreTable(
        name="message",
        tool="opencode",
        format="opencode",
        required=("id", "session_id", "time_created", "data"),
        key=("id",),
        time=("time_updated", "time_created"),
        document="data",
        # a structured answer, the prompt and the system prompt
        document_content=("structured", "summary", "system"),
        ids=(("id", "id"), ("sessionID", "session_id")),
    ),
)
POSTGRESQL_TABLES = (
    StoreTable(
        name="token_ledger_events",
        tool="TokenLedger",
        format="tokenledger",
        required=("event_id", "timestamp", "provider", "model", "input_tokens", "output_tokens"),
        optional=(
            *("trace_id", "span_id", "parent_span_id", "duration_ms", "total_tokens", "cached_tokens", "cost_usd"),
            *("endpoint", "request_type", "user_id", "session_id", "organization_id", "app_name", "environment"),
            *("status", "error_type", "error_message", "metadata", "feature", "page", "component", "team", "project"),
            *("cost_center", "metadata_extra"),
        ),
        content=("request_preview", "response_preview"),
        key=("event_id",),
        time=("timestamp",),
    ),
    StoreTable(
        name="LiteLLM_SpendLogs",
        tool="LiteLLM",
        format="litellm",
        required=("request_id", "call_type", "startTime", "spend", "prompt_tokens", "completion_tokens"),
        optional=(
            *("endTime", "completionStartTime", "request_duration_ms", "total_tokens", "model", "model_id"),
            *("model_group", "custom_llm_provider", "api_base", "user", "metadata", "cache_hit", "request_tags"),
            *("team_id", "organization_id", "end_user", "session_id", "status", "agent_id", "litellm_call_id"),
        ),
        content=("messages", "response"),
        key=("request_id",),
        time=("startTime",),
    ),
)


def choose(
    tables: Sequence[StoreTable], found: Mapping[str, Sequence[str]], wanted: str | None
) -> tuple[str, StoreTable]:
    """The table of a store to read: the one that the user `wanted`, or the one with a known name and its columns.

    `found` has the columns of each table of the store. Raises StoreError if there is no such table, or more than one.
    """
    if wanted is not None:
        if wanted not in found:
            raise StoreError(f"there is no table {wanted}; {_tables(found)}")
        # a table may have another name than its tool gives it
        usable = [table for table in tables if not table.missing(found[wanted])]
        usable.sort(key=lambda table: table.name != wanted)
        if usable:
            return wanted, usable[0]
        closest = min(tables, key=lambda table: (table.name != wanted, len(table.missing(found[wanted]))))
        raise StoreError(_lacking(wanted, closest, found[wanted]))
    named = [table for table in tables if table.name in found and table.is_default]
    usable = [table for table in named if not table.missing(found[table.name])]
    if len(usable) == 1:
        return usable[0].name, usable[0]
    if usable:
        names = ", ".join(table.name for table in usable)
        raise StoreError(f"Tokenmart knows several of its tables ({names}); choose one with --table")
    if named:
        raise UnknownStoreError(_lacking(named[0].name, named[0], found[named[0].name]))
    known = ", ".join(f"{table.name} ({table.tool})" for table in tables)
    raise UnknownStoreError(f"a database without a table that Tokenmart knows; {_tables(found)}. It knows {known}")


def _lacking(name: str, table: StoreTable, columns: Sequence[str]) -> str:
    return (
        f"the table {name} has no column {', '.join(table.missing(columns))}, which {table.tool}'s {table.name} has;"
        f" its columns are {_names(columns)}"
    )


def _tables(found: Mapping[str, Sequence[str]]) -> str:
    return f"its tables are {_names(found)}" if found else "it has no tables"


def _names(names: Sequence[str] | Mapping[str, Sequence[str]]) -> str:
    shown = list(names)
    more = f" and {len(shown) - MOST_NAMES} more" if len(shown) > MOST_NAMES else ""
    return ", ".join(shown[:MOST_NAMES]) + more
