"""Helpers for the tests of formats: what lines become."""

import datetime as dt
import functools
import json
from typing import Any

import pyarrow as pa

from conftest import as_line
from tokenmart.formats import Parser
from tokenmart.parse import Parsed, parse

Line = dict[str, Any]
parser = functools.cache(Parser)


def parsed(format_: str, *lines: str | Line, used: Parser | None = None, **options: Any) -> Parsed:
    """The result of parsing these lines, with the Parser's options."""
    used = used or parser(**options)
    chunk = pa.array([as_line(line) for line in lines], pa.large_binary())
    return parse(
        pa.chunked_array([chunk]),
        pa.chunked_array([pa.repeat(False, len(lines))]),
        used.format(format_),
        used,
    )


def row(format_: str, line: str | Line, **options: Any) -> Line:
    """The columns of the line's event that are not NULL; times in UTC, JSON decoded."""
    result = parsed(format_, line, **options)
    assert result.rejected["reason"].to_pylist() == []
    (event,) = result.events.drop_columns("line_id").to_pylist()
    event["occurred_at"] = event["occurred_at"].astimezone(dt.UTC)
    event.update({name: json.loads(event[name]) for name in ("tags", "extra") if event[name] is not None})
    return {name: value for name, value in event.items() if value is not None}


def reasons(format_: str, *lines: str | Line) -> list[str]:
    """Why these lines are rejected."""
    return parsed(format_, *lines).rejected["reason"].to_pylist()


def at(*parts: int) -> dt.datetime:
    """A time in UTC."""
    return dt.datetime(*parts, tzinfo=dt.UTC)  # type: ignore[misc,arg-type]
