"""The event contract: the columns of raw_usage, and the SQL that checks every line against them."""

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
REQUIRED = {"event_id", "occurred_at", "source_file", "source_line", "loaded_at"}

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
    "token_convention": "text",
    "is_running_total": "boolean",
    "reported_cost_usd": "money",
    "is_estimate": "boolean",
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
"""What a format may select, in addition to `line_id`. Columns that it leaves out are NULL."""

INDEXED, INDEXED_BYTES = ("event_id", "user_id"), 2_000
"""Columns that requests are looked up by, and their maximum length: a PostgreSQL index entry takes 2,704 bytes."""

PROVENANCE_COLUMNS: dict[str, Kind] = {
    "source_format": "text",
    "source_file": "text",
    "source_line": "bigint",
    "source_offset": "bigint",
    "loaded_at": "timestamp",
}
TABLES: dict[str, dict[str, Kind]] = {
    "events": {**FORMAT_COLUMNS, **PROVENANCE_COLUMNS},
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
        "is_sample": "boolean",
        "loaded_at": "timestamp",
    },
    # written after each build by a plain insert, not by a load
    "builds": {
        "started_at": "timestamp",
        "finished_at": "timestamp",
        "version": "text",
        "target": "text",
        "is_successful": "boolean",
        "failures": "bigint",
        "warnings": "bigint",
        "messages": "json",
        # what was built from, so that the next build can tell whether anything has changed
        "inputs": "json",
    },
    # written by undo, for builds whose marts still hold the rows
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
IDS = ("event_id", "session_id", "request_id", "trace_id", "span_id", "parent_span_id")
CLEANED_TEXTS = tuple(name for name, kind in FORMAT_COLUMNS.items() if kind == "text" and name not in IDS)
"""Mapped texts in which `(credential)` replaces what looks like a credential. Ids stay: requests are joined by them."""

OMISSIONS = {
    "has_negative_cost": ("reported_cost_usd", "negative cost"),
    "has_odd_duration_ms": ("duration_ms", "not from 0 to 10^10 ms"),
    "has_odd_time_to_first_token_ms": ("time_to_first_token_ms", "not from 0 to 10^10 ms"),
    "has_request_preview": ("request_preview", "content key"),
    "has_response_preview": ("response_preview", "content key"),
}
"""Mapped values that may be left out: the column that marks such lines, with the key and the reason."""


def missing(tables: Mapping[str, set[str]]) -> list[str]:
    """The tables, and in existing tables the columns (as table.column), that are missing."""
    return [
        name
        for table, columns in TABLES.items()
        for name in (
            [f"{table}.{column}" for column in columns if column not in tables[table]] if table in tables else [table]
        )
    ]


def dlt_columns(table: str, hints: Mapping[str, dict[str, Any]]) -> list[Any]:
    """dlt's columns of one raw table, with additional `hints` by column."""
    # imported here so that reading can start before this slow import
    from dlt.common.schema.utils import dlt_load_id_column

    columns: list[Any] = [
        {"name": name, "nullable": name not in REQUIRED, **DLT_TYPES[kind]} for name, kind in TABLES[table].items()
    ]
    return [{**column, **hints.get(column["name"], {})} for column in [*columns, dlt_load_id_column()]]


def conform(selected: Mapping[str, bool], *, keep_content: bool) -> str:
    """SQL that turns the relation `selected` of a format into the contract's columns and a `reject_reason`.

    `selected` maps each column that the format selects to whether its type is DuckDB's JSON.

    Text is read as text: numbers are checked before they are cast, and a naive timestamp is read in the session's time
    zone. Money is made from its digits: all digits of a text, and the 17 digits of a JSON number that a double
    carries, so that a log written from doubles loses none. `input_tokens` includes its cached parts, `output_tokens`
    its reasoning, and cache writes the one-hour ones: a part that is greater than its whole cannot be included in it.
    """
    texts, faults, typed = [], [], []
    for name, kind in FORMAT_COLUMNS.items():
        if name not in selected or (name in CONTENT_COLUMNS and not keep_content):
            texts.append(f"cast(null as varchar) as {name}")
            typed.append(f"cast(null as {_SQL_TYPES[kind]}) as {name}")
            continue
        # a timestamp may have its own type; casting JSON to text would keep the quotes of a text
        as_text = name if kind == "timestamp" else f"cast({name} as varchar)"
        if selected[name] and kind in ("text", "timestamp"):
            as_text = f"json_extract_string({name}, '$')"
        texts.append(f"{as_text} as {name}")
        typed.append(f"{_CASTS[kind].format(name)} as {name}")
        if name in INDEXED:
            faults.append(f"case when strlen({name}) > {INDEXED_BYTES} then '{name} is longer than 2,000 bytes' end")
        if kind == "tokens":
            faults.append(f"token_fault('{name}', {name})")
        elif kind == "money":
            faults.append(f"money_fault('{name}', {name})")
    for name in CONTENT_COLUMNS:
        is_left_out = f"{name} is not null" if name in selected and not keep_content else "false"
        texts.append(f"{is_left_out} as has_{name}")
    counted = " + ".join(f"coalesce(number({name}), 0)" for name, kind in FORMAT_COLUMNS.items() if kind == "tokens")
    odd_durations = [
        f"{name} is not null and milliseconds({name}) is null as has_odd_{name}"
        for name, kind in FORMAT_COLUMNS.items()
        if kind == "milliseconds"
    ]
    return f"""
        texts as (select line_id, {", ".join(texts)} from selected),
        typed as (
            select
                line_id,
                {", ".join(typed)},
                coalesce(money(reported_cost_usd) < 0, false) as has_negative_cost,
                {", ".join(odd_durations)},
                {", ".join(f"has_{name}" for name in CONTENT_COLUMNS)},
                case
                    when occurred_at is null then 'no timestamp'
                    when try_cast(occurred_at as timestamptz) is null then 'timestamp does not parse'
                    when not try_cast(occurred_at as timestamptz) between timestamptz '2000-01-01 00:00:00+00'
                        and timestamptz '2099-12-31 23:59:59.999999+00' then 'timestamp is not between 2000 and 2099'
                    else coalesce(
                        {", ".join([*faults, "null"])},
                        case
                            when coalesce(
                                nullif(model, ''), nullif(requested_model, ''), reported_cost_usd, duration_ms
                            ) is null
                            then if({counted} = 0, 'no model, tokens, cost or duration', null)
                        end
                    )
                end as reject_reason
            from texts
        ),
        whole_writes as (
            select
                * replace (
                    case
                        when cache_write_1h_tokens > coalesce(cache_write_tokens, 0)
                        then coalesce(cache_write_tokens, 0) + cache_write_1h_tokens
                        else cache_write_tokens
                    end as cache_write_tokens
                )
            from typed
        ),
        inclusive as (
            select
                * replace (
                    case when reported_cost_usd >= 0 then reported_cost_usd end as reported_cost_usd,
                    case
                        when token_convention = 'exclusive' or {_PARTS} > input_tokens then 'exclusive' else 'inclusive'
                    end as token_convention,
                    case
                        when token_convention = 'exclusive' or {_PARTS} > input_tokens then input_tokens + {_PARTS}
                        else input_tokens
                    end as input_tokens,
                    case
                        when reasoning_tokens > output_tokens then output_tokens + reasoning_tokens else output_tokens
                    end as output_tokens
                )
            from whole_writes
        )
        select * from inclusive
    """


_PARTS = "(coalesce(cache_read_tokens, 0) + coalesce(cache_write_tokens, 0))"
_SQL_TYPES: dict[Kind, str] = {
    "text": "varchar",
    "timestamp": "timestamptz",
    "tokens": "bigint",
    "milliseconds": "double",
    "money": "decimal(38, 12)",
    "boolean": "boolean",
    "json": "varchar",
    "bigint": "bigint",
}
_CASTS: dict[Kind, str] = {
    "text": "landed_text({})",
    "timestamp": "try_cast({} as timestamptz)",
    "tokens": "tokens({})",
    "milliseconds": "milliseconds({})",
    "money": "money({})",
    "boolean": "try_cast({} as boolean)",
    "json": "landed_text({})",
    "bigint": "cast({} as bigint)",
}
