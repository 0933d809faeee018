"""A line without an id is identified by its content and by its occurrence among equal lines in the file."""

import datetime as dt
import gzip
import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import as_line, new_reader, tokenledger
from tokenmart import lines, reader
from tokenmart.event_ids import EventIds
from tokenmart.files import find
from tokenmart.lines import Block

START = 1_793_525_400_000


def point(second: int = 0, session: str = "s1") -> bytes:
    """A ctm line, which has no id, this number of seconds after START."""
    return as_line({"ts": START + 1000 * second, "session": session, "cost_usd_micros": 7})


def nth(line: bytes, number: int) -> str:
    """The id of the occurrence of a line with this number."""
    return f"{hashlib.md5(line).hexdigest()}-{number}"


def expected(*contents: bytes) -> list[str]:
    """The ids that the lines of a file must have."""
    seen: Counter[bytes] = Counter()
    ids = []
    for line in contents:
        seen[line] += 1
        ids.append(nth(line, seen[line]))
    return ids


def write(path: Path, *contents: bytes, mode: str = "wb") -> None:
    with path.open(mode) as file:
        file.write(b"".join(line + b"\n" for line in contents))


def load(path: Path, known: dict[str, Any] | None = None, **options: Any) -> list[str]:
    """Loads a path; returns the ids of the landed lines in order, and updates the checkpoints in `known`."""
    used = new_reader(**{"format": "ctm", **options})
    tables = list(used.tables(find([str(path)]), known or {}))
    if known is not None:
        known |= json.loads(json.dumps(used.checkpoints))
    return [id_ for name, table in tables if name == "events" for id_ in table["event_id"].to_pylist()]


# ---------------------------------------------------------------- within a file


def test_equal_lines_are_numbered_by_occurrence(tmp_path: Path) -> None:
    write(tmp_path / "a.log", point(0), point(1), point(0), point(0))
    assert load(tmp_path / "a.log") == [nth(point(0), 1), nth(point(1), 1), nth(point(0), 2), nth(point(0), 3)]


def test_occurrences_are_counted_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    contents = [point(0), point(1), point(0), point(2), point(0), point(1)]
    write(tmp_path / "a.log", *contents)
    monkeypatch.setattr(lines, "READ_BYTES", 10)
    monkeypatch.setattr(lines, "BLOCK_BYTES", 10)
    monkeypatch.setattr(reader, "BATCH_BYTES", 10)
    assert load(tmp_path / "a.log") == expected(*contents)


def test_lines_with_an_id_keep_it_and_all_lines_stay_in_order(tmp_path: Path) -> None:
    without = as_line(tokenledger(None))
    write(tmp_path / "a.jsonl", without, as_line(tokenledger("own")), b"", b"bad", without, as_line(tokenledger("")))
    ids = [nth(without, 1), "own", nth(without, 2), nth(as_line(tokenledger("")), 1)]
    assert load(tmp_path / "a.jsonl", format="tokenledger") == ids


def test_an_id_is_computed_from_the_original_bytes(tmp_path: Path) -> None:
    line = as_line(tokenledger(None, error_message="cut \ud83d \0"))
    write(tmp_path / "a.jsonl", line, line)
    assert load(tmp_path / "a.jsonl", format="tokenledger") == [nth(line, 1), nth(line, 2)]


# ---------------------------------------------------------------- across files


def test_the_same_content_in_another_file_has_the_same_id(tmp_path: Path) -> None:
    contents = [point(0), point(0), point(1)]
    write(tmp_path / "a.log", *contents)
    write(tmp_path / "b.log", *contents)
    assert load(tmp_path) == expected(*contents) * 2


def test_each_file_is_counted_separately_even_across_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "BATCH_BYTES", 10)
    for name in ("a.log", "b.log", "c.log"):
        write(tmp_path / name, point(0), point(0))
    assert load(tmp_path) == expected(point(0), point(0)) * 3


def test_a_compressed_file_has_the_ids_of_the_plain_one(tmp_path: Path) -> None:
    contents = [point(0), point(1), point(0)]
    (tmp_path / "a.log.gz").write_bytes(gzip.compress(b"\n".join(contents) + b"\n"))
    assert load(tmp_path / "a.log.gz") == expected(*contents)


# ---------------------------------------------------------------- a file that grows


@pytest.mark.parametrize("name", ["a.log", "a.log.1"])
def test_counting_continues_when_a_file_grows(name: str, tmp_path: Path) -> None:
    known: dict[str, Any] = {}
    write(tmp_path / "a.log", point(0), point(1), point(0))
    assert load(tmp_path / "a.log", known) == expected(point(0), point(1), point(0))
    (tmp_path / "a.log").rename(tmp_path / name)
    write(tmp_path / name, point(0), point(1), point(1), point(2), mode="ab")
    assert load(tmp_path / name, known) == [nth(point(0), 3), nth(point(1), 2), nth(point(1), 3), nth(point(2), 1)]
    write(tmp_path / name, point(2), point(0), mode="ab")
    assert load(tmp_path / name, known) == [nth(point(2), 2), nth(point(0), 4)]


def test_counting_continues_when_a_compressed_file_grows(tmp_path: Path) -> None:
    known: dict[str, Any] = {}
    path = tmp_path / "a.log.gz"
    path.write_bytes(gzip.compress(point(0) + b"\n" + point(0) + b"\n"))
    assert load(path, known) == expected(point(0), point(0))
    with path.open("ab") as file:
        file.write(gzip.compress(point(0) + b"\n"))
    assert load(path, known) == [nth(point(0), 3)]


def test_counting_continues_when_a_file_with_a_byte_order_mark_grows(tmp_path: Path) -> None:
    known: dict[str, Any] = {}
    write(tmp_path / "a.log", b"\xef\xbb\xbf" + point(0))
    assert load(tmp_path / "a.log", known) == [nth(point(0), 1)]
    write(tmp_path / "a.log", point(0), mode="ab")
    assert load(tmp_path / "a.log", known) == [nth(point(0), 2)]


def test_reading_a_file_again_gives_the_same_ids(tmp_path: Path) -> None:
    known: dict[str, Any] = {}
    contents = [point(0), point(0), point(1)]
    write(tmp_path / "a.log", *contents)
    assert load(tmp_path / "a.log", known) == load(tmp_path / "a.log", known, again=True) == expected(*contents)
    write(tmp_path / "a.log", point(0), mode="ab")
    assert load(tmp_path / "a.log", known) == [nth(point(0), 3)]


@settings(max_examples=10, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.sampled_from("ab")), max_size=6), min_size=1, max_size=3),
    st.sampled_from([10, 100, 10_000]),
)
def test_reading_in_several_loads_gives_the_same_ids_as_in_one(
    steps: Sequence[Sequence[tuple[int, str]]], size: int
) -> None:
    contents = [[point(second, session) for second, session in step] for step in steps]
    known: dict[str, Any] = {}
    found: list[str] = []
    sizes = (mock.patch.object(lines, "BLOCK_BYTES", size), mock.patch.object(lines, "READ_BYTES", size))
    with tempfile.TemporaryDirectory() as folder, sizes[0], sizes[1], mock.patch.object(reader, "BATCH_BYTES", size):
        path = Path(folder, "a.log")
        for step in contents:
            write(path, *step, mode="ab")
            found += load(path, known)
    assert found == expected(*(line for step in contents for line in step))


# ---------------------------------------------------------------- when earlier lines are read again


class EarlierLines:
    """The lines of earlier loads by file, and a record of the files that were requested."""

    def __init__(self, contents: dict[int, list[bytes]]) -> None:
        self.contents = contents
        self.requested: list[int] = []

    def __call__(self, file: int) -> Iterator[Block]:
        self.requested.append(file)
        array = pa.array(self.contents[file], pa.large_binary())
        yield Block(pa.chunked_array([array]), 1, 0, sum(map(len, array.to_pylist())))


def identify(event_ids: EventIds, *rows: tuple[int, int, bytes]) -> list[str]:
    """The ids of events, each given as file, second and line."""
    numbers, seconds, contents = zip(*rows, strict=True)
    moments = [time_of(second) for second in seconds]
    events = pa.table(
        {
            "line_id": pa.array(range(len(rows)), pa.int64()),
            "event_id": pa.nulls(len(rows), pa.string()),
            "occurred_at": pa.array(moments, pa.timestamp("us", "UTC")),
        }
    )
    files = pa.chunked_array([pa.array(numbers, pa.int64())])
    found = event_ids.identify(events, files, pa.chunked_array([pa.array(contents, pa.large_binary())]))
    return [str(id_) for id_ in found["event_id"].to_pylist()]


def time_of(second: int) -> dt.datetime:
    return dt.datetime(2026, 11, 1, 9, 30, tzinfo=dt.UTC) + dt.timedelta(seconds=second)


def test_earlier_lines_are_not_read_if_new_lines_have_later_times() -> None:
    earlier = EarlierLines({0: [b"x"]})
    event_ids = EventIds(earlier)
    event_ids.begin(0, time_of(10))
    assert identify(event_ids, (0, 11, b"y"), (0, 12, b"z")) == [nth(b"y", 1), nth(b"z", 1)]
    assert identify(event_ids, (0, 13, b"y")) == [nth(b"y", 2)]
    assert earlier.requested == []
    assert event_ids.latest == {0: time_of(13)}


@pytest.mark.parametrize("second", [10, 9, -1000])
def test_earlier_lines_are_read_once_if_a_new_line_is_not_later(second: int) -> None:
    earlier = EarlierLines({0: [b"x", b"x", b"w"]})
    event_ids = EventIds(earlier)
    event_ids.begin(0, time_of(10))
    assert identify(event_ids, (0, 11, b"y"), (0, second, b"x")) == [nth(b"y", 1), nth(b"x", 3)]
    assert identify(event_ids, (0, second, b"w"), (0, second, b"x")) == [nth(b"w", 2), nth(b"x", 4)]
    assert earlier.requested == [0]
    assert event_ids.latest == {0: time_of(11)}


def test_earlier_lines_are_read_if_a_line_is_not_later_than_others_of_its_load() -> None:
    earlier = EarlierLines({0: [b"x"]})
    event_ids = EventIds(earlier)
    event_ids.begin(0, time_of(10))
    assert identify(event_ids, (0, 20, b"y")) == [nth(b"y", 1)]
    assert identify(event_ids, (0, 15, b"z"), (0, 10, b"x")) == [nth(b"z", 1), nth(b"x", 2)]
    assert earlier.requested == [0]


def test_lines_of_one_file_do_not_count_in_another() -> None:
    earlier = EarlierLines({0: [b"x"], 1: [b"x", b"x"]})
    event_ids = EventIds(earlier)
    event_ids.begin(0, time_of(10))
    event_ids.begin(1, time_of(10))
    event_ids.begin(2, None)
    ids = identify(event_ids, (0, 11, b"x"), (1, 5, b"x"), (2, 5, b"x"))
    assert ids == [nth(b"x", 1), nth(b"x", 3), nth(b"x", 1)]
    assert earlier.requested == [1]


def test_a_new_file_has_no_earlier_lines() -> None:
    event_ids = EventIds(EarlierLines({}))
    event_ids.begin(0, None)
    assert identify(event_ids, (0, 5, b"x"), (0, 1, b"x")) == [nth(b"x", 1), nth(b"x", 2)]
    assert identify(event_ids, (0, 5, b"x")) == [nth(b"x", 3)]
