"""The event contract: the columns and types of the raw tables."""

from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["text", "timestamp", "tokens", "milliseconds", "money", "boolean", "json", "bigint"]

DLT_TYPES: dict[Kind, dict[str, Any]] = {
    "text": {"data_type": "text"},
    "timestamp": {"data_type": "timestamp", "precision": 6},
    "tokens": {"data_type": "bigint"},
    "milliseconds": {"data_type": "double"},
    "money": {"data_type": "decimal", "precision": 38, "scale": 12},
    "boolean": {"data_type": "bool"},
    "json": {"data_type": "text"},  # JSON types differ between warehouses, but all can read JSON from text
    "bigint": {"data_type": "bigint"},
}
REQUIRED = {"event_id", "tool_call_id", "occurred_at", "source_file", "source_line", "loaded_at"}

FORMAT_COLUMNS: dict[str, Kind] = {
    "event_id": "text",
    "occurred_at": "timestamp",
    "duration_ms": "milliseconds",
    "time_to_first_token_ms": "milliseconds",
    "provider": "text",
    "model": "text",
    "requested_model": "text",
    "region": "text",
    "service_tier": "text",
    "operation": "text",
    "endpoint": "text",
    "input_tokens": "tokens",
    "cache_read_tokens": "tokens",
    "cache_write_tokens": "tokens",
    "cache_write_1h_tokens": "tokens",
    "output_tokens": "tokens",
    "reasoning_tokens": "tokens",
    "web_search_requests": "tokens",
    "token_convention": "text",
    "is_running_total": "boolean",
    "snapshot_version": "bigint",
    "reported_cost_usd": "money",
    "is_estimate": "boolean",
    "is_billed": "boolean",
    "user_id": "text",
    "session_id": "text",
    "organization_id": "text",
    "team": "text",
    "project": "text",
    "cost_center": "text",
    "app_name": "text",
    "environment": "text",
    "feature": "text",
    "page": "text",
    "component": "text",
    "status": "text",
    "error_type": "text",
    "error_message": "text",
    "request_id": "text",
    "trace_id": "text",
    "span_id": "text",
    "parent_span_id": "text",
    "request_preview": "text",
    "response_preview": "text",
    "water_ml": "money",
    "energy_wh": "money",
    "tags": "json",
    "extra": "json",
}
"""The columns that a format can select in addition to `line_id`. Columns that it does not select are NULL."""

TOOL_CALL_COLUMNS: dict[str, Kind] = {
    "tool_call_id": "text",
    "tool_name": "text",
    "started_at": "timestamp",
    "finished_at": "timestamp",
    "duration_ms": "milliseconds",
    "status": "text",
    "arguments_bytes": "tokens",
    "result_bytes": "tokens",
    "user_id": "text",
    "session_id": "text",
    "project": "text",
    "app_name": "text",
    "trace_id": "text",
}
"""The columns that the view `tool_calls` of a format can select in addition to `line_id`.

A row is a report about a call. Several reports with the same id can together describe one call.
"""

INDEXED, INDEXED_BYTES = ("event_id", "user_id"), 2_000
"""Columns with an index, and the maximum length of their values: PostgreSQL limits index entries to 2,704 bytes."""

PROVENANCE_COLUMNS: dict[str, Kind] = {
    "source_format": "text",
    "source_file": "text",
    "source_line": "bigint",
    "source_offset": "bigint",
    "loaded_at": "timestamp",
}
TABLES: dict[str, dict[str, Kind]] = {
    "events": {**FORMAT_COLUMNS, "time_basis": "text", **PROVENANCE_COLUMNS},
    "tool_calls": {**TOOL_CALL_COLUMNS, **PROVENANCE_COLUMNS},
    "rejected_lines": {"reason": "text", "line": "text", "line_base64": "text", **PROVENANCE_COLUMNS},
    "loaded_files": {
        "source_format": "text",
        "source_file": "text",
        "first_offset": "bigint",
        "next_offset": "bigint",
        "lines_read": "bigint",
        "lines_landed": "bigint",
        "lines_skipped": "bigint",
        "lines_rejected": "bigint",
        "events_landed": "bigint",
        "tool_calls_landed": "bigint",
        "is_sample": "boolean",
        "loaded_at": "timestamp",
    },
    # written by a plain insert after each build, not by a load
    "builds": {
        "started_at": "timestamp",
        "finished_at": "timestamp",
        "version": "text",
        "target": "text",
        "is_successful": "boolean",
        "failures": "bigint",
        "warnings": "bigint",
        "messages": "json",
        # the inputs of the build, so that the next build can check whether anything has changed
        "inputs": "json",
    },
    # written by an undo, so that builds know that the marts still contain the rows
    "undone_loads": {"load_id": "text", "batch_id": "bigint"},
    "omitted_values": {
        "source_format": "text",
        "source_file": "text",
        "key": "text",
        "reason": "text",
        "lines": "bigint",
        "loaded_at": "timestamp",
    },
}
CONTENT_COLUMNS = ("request_preview", "response_preview")
SETTABLE = (
    *("provider", "model", "region", "service_tier", "operation", "endpoint", "user_id", "session_id"),
    *("organization_id", "team", "project", "cost_center", "app_name", "environment", "feature", "page", "component"),
)
"""The columns that `tokenmart load --set` fills where lines leave them empty."""
IDS = ("event_id", "session_id", "request_id", "trace_id", "span_id", "parent_span_id")
CLEANED_TEXTS = tuple(name for name, kind in FORMAT_COLUMNS.items() if kind == "text" and name not in IDS)
CLEANED_TOOL_CALL_TEXTS = ("user_id", "project", "app_name")
"""Text columns of events and of tool calls in which `(credential)` replaces credentials.

Ids are not changed, because requests are joined by them.
"""

OMISSIONS = {
    "has_negative_cost": ("reported_cost_usd", "negative cost"),
    "has_invalid_duration_ms": ("duration_ms", "not from 0 to 10^10 ms"),
    "has_invalid_time_to_first_token_ms": ("time_to_first_token_ms", "not from 0 to 10^10 ms"),
    "has_request_preview": ("request_preview", "content key"),
    "has_response_preview": ("response_preview", "content key"),
}
"""Mapped values that can be left out: the column that marks such lines, with the key and the reason."""


def missing(tables: Mapping[str, set[str]]) -> list[str]:
    """The names of missing tables, and of missing columns of existing tables (as table.column)."""
    return [
        name
        for table, columns in TABLES.items()
        for name in (
            [f"{table}.{column}" for column in columns if column not in tables[table]] if table in tables else [table]
        )
    ]


def dlt_columns(table: str, hints: Mapping[str, dict[str, Any]]) -> list[Any]:
    """The columns of a raw table as dlt describes them, with additional `hints` by column."""
    # a slow import; reading can start before it
    from dlt.common.schema.utils import dlt_load_id_column

    columns: list[Any] = [
        {"name": name, "nullable": name not in REQUIRED, **DLT_TYPES[kind]} for name, kind in TABLES[table].items()
    ]
    return [{**column, **hints.get(column["name"], {})} for column in [*columns, dlt_load_id_column()]]
