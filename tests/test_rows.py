"""The halves of a batch are parsed at the same time, with the same result as the whole batch at once."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from conftest import as_line, new_reader, tokenledger
from tokenmart import rows
from tokenmart.errors import UsageError
from tokenmart.files import find


def loaded(path: Path, **options: Any) -> tuple[dict[str, list[dict[str, Any]]], Any]:
    """The rows of each raw table without their load time, and the result of the load."""
    reader = new_reader(**options)
    tables: dict[str, list[pa.Table]] = {}
    for name, table in reader.tables(find([str(path)]), {}):
        tables.setdefault(name, []).append(table.drop_columns("loaded_at"))
    return {name: pa.concat_tables(parts).to_pylist() for name, parts in tables.items()}, reader.result


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A hundred lines. In both halves: lines that are not JSON, lines without an id, and values that are left out."""
    lines = [as_line(tokenledger(f"e{number}")) for number in range(100)]
    for start in (10, 80):
        lines[start] = b"not JSON"
        lines[start + 1] = lines[start + 3] = as_line(tokenledger(None))
        lines[start + 2] = as_line(tokenledger("secret", metadata={"prompt": "hello", "api_key": "sk-abcdefgh"}))
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def test_halves_give_the_rows_of_the_whole(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, whole_result = loaded(log)
    monkeypatch.setattr(rows, "PARALLEL_BYTES", 1)
    halves, result = loaded(log)
    assert halves == whole
    assert result == whole_result

    # 4 of the 100 lines are replaced in each half; one of each 4 is not JSON
    assert [row["source_line"] for row in halves["rejected_lines"]] == [11, 81]
    assert [row["source_line"] for row in halves["events"]] == [n for n in range(1, 101) if n not in (11, 81)]
    without_id = [row["event_id"] for row in halves["events"] if row["source_line"] in (12, 14, 82, 84)]
    assert [event_id.rpartition("-")[2] for event_id in without_id] == ["1", "2", "3", "4"]
    omitted = {(row["key"], row["reason"]): row["lines"] for row in halves["omitted_values"]}
    assert omitted == {("tags.prompt", "content key"): 2, ("tags.api_key", "credential"): 2}


def test_an_error_in_the_second_half_is_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    format_ = tmp_path / "own.sql"
    format_.write_text(
        "select line_id, line ->> 'at' as occurred_at, cast(line ->> 'n' as int) as input_tokens from lines"
    )
    log = tmp_path / "log.jsonl"
    at = "2026-10-01T12:00:00Z"
    log.write_bytes(b"".join(as_line({"at": at, "n": "x" if n == 9 else "1"}) + b"\n" for n in range(10)))
    monkeypatch.setattr(rows, "PARALLEL_BYTES", 1)
    with pytest.raises(UsageError, match="The format own failed"):
        loaded(log, format=str(format_))
