"""Only new complete lines of a file are read, even if it was renamed or rotated; and paths resolve to files."""

import contextlib
import gzip
import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any

import fsspec
import pyarrow as pa
import pytest

from conftest import new_reader, zstd
from tokenmart import checkpoints, files, lines, reader
from tokenmart.checkpoints import HEAD_BYTES, TAIL_BYTES
from tokenmart.errors import UsageError
from tokenmart.files import SAMPLE_MARK, InputFile, find
from tokenmart.lines import MEBIBYTE
from tokenmart.reader import Reader

Numbers = dict[str, list[int]]


def ctm_lines(first: int, last: int, width: int = 0) -> bytes:
    """ctm lines with the numbers from `first` to `last`, one second apart, each at least `width` bytes long."""
    beginning = b'{"cost_usd_micros": 7, "session": "' + b"s" * width + b'", "ts": '
    return b"".join(beginning + b"%d}\n" % (1_793_525_400_000 + 1000 * number) for number in range(first, last + 1))


class Loads:
    """Successive loads, with the checkpoints that a warehouse would store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.known: dict[str, Any] = {}
        self.problems: list[str] = []
        self.files: list[tuple[str, int, int, int]] = []
        """The name and the lines landed, skipped and rejected of each file of the last load."""

    def load(self, *names: str, **options: Any) -> Numbers:
        """Loads these files, by default all in the folder; returns the numbers of the lines that landed, by file."""
        used = new_reader(**{"format": "ctm", **options})
        files = find([str(self.folder / name) for name in names or ("*",)])
        stored = MappingProxyType(self.known)
        tables = list(used.tables(files, stored))
        return self.finish(used, tables)

    def finish(self, used: Reader, tables: list[tuple[str, pa.Table]]) -> Numbers:
        """Keeps the checkpoints of a load; returns the numbers of the lines that landed, by file."""
        self.known = json.loads(json.dumps(used.checkpoints))
        self.problems = [file.problem for file in used.result.files if file.problem]
        self.files = [
            (Path(row["source_file"]).name, row["lines_landed"], row["lines_skipped"], row["lines_rejected"])
            for name, table in tables
            for row in (table.to_pylist() if name == "loaded_files" else ())
        ]
        found: Numbers = {}
        for name, table in tables:
            for row in table.to_pylist() if name == "events" else ():
                second = int(row["occurred_at"].timestamp()) - 1_793_525_400
                found.setdefault(Path(row["source_file"]).name, []).append(second)
        counts = {Path(file.name).name: file.landed for file in used.result.files if file.landed}
        assert counts == {name: len(numbers) for name, numbers in found.items()}
        return found

    def write(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def append(self, name: str, content: bytes) -> None:
        with (self.folder / name).open("ab") as file:
            file.write(content)

    def rename(self, old: str, new: str) -> None:
        (self.folder / old).rename(self.folder / new)


@pytest.fixture
def loads(tmp_path: Path) -> Loads:
    return Loads(tmp_path)


# ---------------------------------------------------------------- a file that grows


def test_only_appended_lines_are_read(loads: Loads) -> None:
    loads.write("app.log", ctm_lines(1, 3))
    assert loads.load() == {"app.log": [1, 2, 3]}
    assert loads.load() == {}
    loads.append("app.log", ctm_lines(4, 5))
    assert loads.load() == {"app.log": [4, 5]}
    assert loads.load() == {}


def test_an_incomplete_line_waits_until_it_is_complete(loads: Loads) -> None:
    content = ctm_lines(1, 2)
    loads.write("app.log", content[:-10])
    assert loads.load() == {"app.log": [1]}
    loads.append("app.log", content[-10:-1])
    assert loads.load() == {}
    loads.append("app.log", content[-1:] + ctm_lines(3, 3))
    assert loads.load() == {"app.log": [2, 3]}


def test_an_incomplete_last_line_is_read_once_with_final(loads: Loads) -> None:
    loads.write("app.log", ctm_lines(1, 2)[:-1])
    assert loads.load(final=True) == {"app.log": [1, 2]}
    assert loads.load(final=True) == {}


@pytest.mark.parametrize("width", [0, 1000, 3 * HEAD_BYTES])
def test_a_file_that_outgrows_its_head_and_tail_is_still_recognized(width: int, loads: Loads) -> None:
    for number in range(1, 8):
        loads.append("app.log", ctm_lines(number, number, width))
        assert loads.load() == {"app.log": [number]}
    assert loads.load() == {}


def test_line_numbers_and_offsets_continue_in_the_next_load(loads: Loads) -> None:
    path = str(loads.folder / "app.log")
    content = b"\xef\xbb\xbf" + ctm_lines(1, 2) + b"\n" + ctm_lines(3, 3)
    loads.write("app.log", content)
    loads.load()
    loads.append("app.log", ctm_lines(4, 4))
    used = new_reader(format="ctm")
    tables = dict(used.tables(find([path]), loads.known))
    loads.known = json.loads(json.dumps(used.checkpoints))
    (event,) = tables["events"].to_pylist()
    assert (event["source_line"], event["source_offset"], event["source_file"]) == (5, len(content), path)
    (file,) = tables["loaded_files"].to_pylist()
    assert (file["first_offset"], file["next_offset"]) == (len(content), len(content + ctm_lines(4, 4)))
    assert [(known["name"], known["lines"]) for known in loads.known.values()] == [(path, 5)]


def test_an_empty_file_has_no_checkpoint(loads: Loads) -> None:
    loads.write("app.log", b"")
    assert loads.load() == {} and loads.known == {}
    loads.write("app.log", ctm_lines(1, 1))
    assert loads.load() == {"app.log": [1]}


def test_files_with_different_content_have_separate_checkpoints(loads: Loads) -> None:
    for number in range(1, 6):
        loads.write(f"{number}.log", ctm_lines(10 * number, 10 * number + 2))
    assert loads.load() == {f"{number}.log": [10 * number, 10 * number + 1, 10 * number + 2] for number in range(1, 6)}
    loads.append("3.log", ctm_lines(33, 33))
    assert loads.load() == {"3.log": [33]}


# ---------------------------------------------------------------- renamed, rotated and copied files


def test_a_renamed_file_is_recognized(loads: Loads) -> None:
    loads.write("app.log", ctm_lines(1, 3))
    loads.load()
    loads.rename("app.log", "old.log")
    assert loads.load() == {}
    loads.append("old.log", ctm_lines(4, 4))
    assert loads.load() == {"old.log": [4]}


def test_a_rotated_file_is_recognized_and_its_successor_is_new(loads: Loads) -> None:
    loads.write("app.log", ctm_lines(1, 3))
    loads.load()
    loads.append("app.log", ctm_lines(4, 4))
    loads.rename("app.log", "app.log.1")
    loads.write("app.log", ctm_lines(5, 6))
    assert loads.load() == {"app.log.1": [4], "app.log": [5, 6]}
    assert loads.load() == {}


def test_a_rotated_file_without_new_lines_is_recognized(loads: Loads) -> None:
    loads.write("app.log", ctm_lines(1, 3))
    loads.load()
    loads.rename("app.log", "app.log.1")
    loads.write("app.log", ctm_lines(4, 5))
    assert loads.load() == {"app.log": [4, 5]}
    assert loads.load() == {}


def test_files_that_are_rotated_daily_are_each_read_once(loads: Loads) -> None:
    for day in range(1, 5):
        for age in range(day - 2, 0, -1):
            loads.rename(f"app.log.{age}", f"app.log.{age + 1}")
        if day > 1:
            loads.rename("app.log", "app.log.1")
        loads.write("app.log", ctm_lines(10 * day, 10 * day + 2))
        assert loads.load() == {"app.log": [10 * day, 10 * day + 1, 10 * day + 2]}
        assert loads.load() == {}


def test_a_rotated_file_is_recognized_even_if_a_load_did_not_include_it(loads: Loads) -> None:
    loads.write("app.log", ctm_lines(1, 3))
    loads.load("app.log")
    loads.append("app.log", ctm_lines(4, 4))
    loads.rename("app.log", "app.log.1")
    loads.write("app.log", ctm_lines(5, 6))
    assert loads.load("app.log") == {"app.log": [5, 6]}
    assert loads.load("app.log*") == {"app.log.1": [4]}


def test_a_copy_continues_at_the_checkpoint_of_the_original(loads: Loads) -> None:
    loads.write("app.log", ctm_lines(1, 3))
    loads.load()
    loads.append("app.log", ctm_lines(4, 4))
    loads.write("copy.log", ctm_lines(1, 3) + ctm_lines(7, 8))
    assert loads.load() == {"app.log": [4], "copy.log": [7, 8]}
    loads.append("app.log", ctm_lines(5, 5))
    loads.append("copy.log", ctm_lines(9, 9))
    assert loads.load() == {"app.log": [5], "copy.log": [9]}


@pytest.mark.parametrize("grown", ["a.log", "b.log"])
def test_if_one_of_two_equal_files_grows_the_other_is_still_recognized(grown: str, loads: Loads) -> None:
    loads.write("a.log", ctm_lines(1, 3))
    loads.write("b.log", ctm_lines(1, 3))
    assert loads.load() == {"a.log": [1, 2, 3], "b.log": [1, 2, 3]}
    loads.append(grown, ctm_lines(4, 4))
    assert loads.load() == {grown: [4]}
    assert loads.load() == {}


def test_the_longest_matching_checkpoint_is_used(loads: Loads) -> None:
    loads.write("short.log", ctm_lines(1, 2))
    loads.write("long.log", ctm_lines(1, 5))
    assert loads.load() == {"long.log": [1, 2, 3, 4, 5], "short.log": [1, 2]}
    loads.write("new.log", ctm_lines(1, 6))
    assert loads.load() == {"new.log": [6]}


def test_another_machine_with_another_folder_continues(loads: Loads, tmp_path: Path) -> None:
    loads.write("app.log", ctm_lines(1, 3))
    loads.load()
    (tmp_path / "elsewhere").mkdir()
    other = Loads(tmp_path / "elsewhere")
    other.known = loads.known
    other.write("app.log", ctm_lines(1, 4))
    assert other.load() == {"app.log": [4]}


# ---------------------------------------------------------------- files that are replaced or changed


def test_a_truncated_and_rewritten_file_is_read_from_the_beginning(loads: Loads) -> None:
    loads.write("app.log", ctm_lines(1, 5))
    loads.load()
    loads.write("app.log", ctm_lines(6, 7))
    assert loads.load() == {"app.log": [6, 7]}
    loads.append("app.log", ctm_lines(8, 12))
    assert loads.load() == {"app.log": [8, 9, 10, 11, 12]}


def test_a_rewritten_file_that_is_longer_than_before_is_read_from_the_beginning(loads: Loads) -> None:
    loads.write("app.log", ctm_lines(1, 5))
    loads.load()
    loads.write("app.log", ctm_lines(11, 40))
    assert loads.load() == {"app.log": list(range(11, 41))}


def test_a_file_that_became_shorter_is_read_from_the_beginning(loads: Loads) -> None:
    loads.write("app.log", ctm_lines(1, 5))
    loads.load()
    loads.write("app.log", ctm_lines(1, 3))
    assert loads.load() == {"app.log": [1, 2, 3]}


@pytest.mark.parametrize("width", [0, 1000])
def test_a_file_that_differs_after_the_same_beginning_is_read_from_the_beginning(width: int, loads: Loads) -> None:
    loads.write("app.log", ctm_lines(1, 20, width))
    loads.load()
    loads.write("app.log", ctm_lines(1, 10, width) + ctm_lines(31, 50, width))
    assert loads.load() == {"app.log": [*range(1, 11), *range(31, 51)]}


@pytest.mark.parametrize(
    ("place", "is_seen"),
    [
        (0, True),
        (HEAD_BYTES - 1, True),
        # changes in between are not detected: that would require reading the whole file
        (HEAD_BYTES, False),
        (-TAIL_BYTES - 1, False),
        (-TAIL_BYTES, True),
        (-1, True),
    ],
)
def test_a_change_is_detected_in_the_head_and_the_tail_but_not_in_between(
    place: int, is_seen: bool, loads: Loads
) -> None:
    content = bytearray(ctm_lines(1, 20, 1000))
    loads.write("app.log", bytes(content))
    loads.load()
    content[place] ^= 1
    loads.write("app.log", bytes(content))
    used = new_reader(format="ctm", final=True)
    list(used.tables(find([str(loads.folder / "app.log")]), loads.known))
    assert used.result.total("read") == (20 if is_seen else 0)


def test_a_file_is_read_again_on_request(loads: Loads) -> None:
    loads.write("app.log", ctm_lines(1, 3))
    loads.load()
    assert loads.load(again=True) == {"app.log": [1, 2, 3]}
    assert loads.load() == {}


def test_a_file_is_read_again_with_another_format(loads: Loads, tmp_path: Path) -> None:
    loads.write("app.log", ctm_lines(1, 3))
    assert loads.load(format=None) == {"app.log": [1, 2, 3]}
    assert loads.load(format="ctm") == {}
    path = tmp_path / "own.sql"
    path.write_text("select line_id, epoch_milliseconds(line -> '$.ts') as occurred_at, 1 as output_tokens from lines")
    assert loads.load("app.log", format=str(path)) == {"app.log": [1, 2, 3]}
    assert loads.load("app.log", format=str(path)) == {}
    loads.append("app.log", ctm_lines(4, 4))
    assert loads.load("app.log", format=None) == {"app.log": [4]}


@pytest.mark.parametrize("name", ["app.log", ""], ids=["a named file", "a folder"])
def test_a_file_is_read_again_if_a_custom_format_skipped_all_its_lines(name: str, loads: Loads) -> None:
    path = loads.folder / "own.sql"
    sql = "select line_id, epoch_milliseconds(line -> '$.ts') as occurred_at, 1 as output_tokens from lines"
    loads.write("app.log", ctm_lines(1, 3))
    path.write_text(sql + " where line ->> '$.sesion' = ''")
    assert loads.load(name, format=str(path)) == {} and loads.known == {}
    assert loads.files == [("app.log", 0, 3, 0)]
    path.write_text(sql + " where line ->> '$.session' = ''")
    assert loads.load(name, format=str(path)) == {"app.log": [1, 2, 3]}
    known = dict(loads.known)
    # new lines are read again, too, if all of them were skipped
    loads.append("app.log", ctm_lines(4, 5, 1))
    assert loads.load("app.log", format=str(path)) == {} and loads.known == known
    path.write_text(sql)
    assert loads.load(name, format=str(path)) == {"app.log": [4, 5]}


def test_a_file_without_requests_is_read_once_if_other_files_have_some(loads: Loads) -> None:
    path = loads.folder / "own.sql"
    path.write_text(
        "select line_id, epoch_milliseconds(line -> '$.ts') as occurred_at, 1 as output_tokens from lines"
        " where line ->> '$.session' = ''"
    )
    loads.write("a.log", ctm_lines(1, 3))
    loads.write("b.log", ctm_lines(4, 5, 1))
    assert loads.load("", format=str(path)) == {"a.log": [1, 2, 3]}
    assert loads.files == [("a.log", 3, 0, 0), ("b.log", 0, 2, 0)]
    assert loads.load("", format=str(path)) == {} and loads.files == []


# ---------------------------------------------------------------- a file that changes while others are read


def load_while(loads: Loads, change: Callable[[], None]) -> Numbers:
    """Loads everything in the folder, and changes a file when the first rows have been read."""
    used = new_reader(format="ctm")
    tables = used.tables(find([str(loads.folder / "*")]), loads.known)
    found = [next(tables)]
    change()
    return loads.finish(used, [*found, *tables])


@pytest.fixture
def one_file_per_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is a batch of its own, even a small one."""
    monkeypatch.setattr(reader, "BATCH_BYTES", 1)


@pytest.mark.usefixtures("one_file_per_batch")
def test_a_file_that_is_replaced_during_a_load_is_read_by_the_next_load(loads: Loads) -> None:
    loads.write("a.log", ctm_lines(1, 3))
    loads.write("b.log", ctm_lines(11, 13))
    found = load_while(loads, lambda: loads.write("a.log", ctm_lines(21, 40)))
    assert found == {"a.log": [1, 2, 3], "b.log": [11, 12, 13]}
    assert loads.load() == {"a.log": list(range(21, 41))}


@pytest.mark.usefixtures("one_file_per_batch")
def test_a_file_that_is_renamed_during_a_load_does_not_affect_other_files(loads: Loads) -> None:
    loads.write("a.log", ctm_lines(1, 3))
    loads.write("b.log", ctm_lines(11, 13))
    found = load_while(loads, lambda: loads.rename("a.log", "a.log.1"))
    assert found == {"a.log": [1, 2, 3], "b.log": [11, 12, 13]}
    loads.append("b.log", ctm_lines(14, 14))
    assert loads.load()["b.log"] == [14]


# ---------------------------------------------------------------- compressed files


COMPRESSED = {"gz": gzip.compress, "zst": zstd}


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_a_file_is_recognized_after_it_is_compressed(suffix: str, loads: Loads) -> None:
    loads.write("app.log", ctm_lines(1, 3))
    loads.load()
    loads.rename("app.log", "gone")
    loads.write(f"app.log.1.{suffix}", COMPRESSED[suffix](ctm_lines(1, 4)))
    (loads.folder / "gone").unlink()
    assert loads.load() == {f"app.log.1.{suffix}": [4]}
    assert loads.load() == {}


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_a_part_appended_to_a_compressed_file_is_read(suffix: str, loads: Loads) -> None:
    name = f"app.jsonl.{suffix}"
    for number in range(1, 5):
        loads.append(name, COMPRESSED[suffix](ctm_lines(number, number, 3000)))
        assert loads.load() == {name: [number]}
    assert loads.load() == {}


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_parts_of_a_compressed_file_may_end_within_a_line(suffix: str, loads: Loads) -> None:
    content = ctm_lines(1, 3)
    parts = [content[:1], content[1:100], b"", content[100:]]
    loads.write("app", b"".join(map(COMPRESSED[suffix], parts)))
    assert loads.load() == {"app": [1, 2, 3]}


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_a_truncated_compressed_file_is_read_as_far_as_possible(
    suffix: str, loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "READ_BYTES", 500)
    monkeypatch.setattr(lines, "BLOCK_BYTES", 500)
    complete = COMPRESSED[suffix](ctm_lines(1, 100)) + COMPRESSED[suffix](ctm_lines(101, 103))
    size = len(COMPRESSED[suffix](ctm_lines(1, 100))) + 10
    name = f"app.log.{suffix}"
    loads.write(name, complete[:size])
    read = loads.load()[name]
    assert read == list(range(1, len(read) + 1)) and 90 <= len(read) <= 100
    assert len(loads.problems) == 1 and f"{name} after line {len(read)}: " in loads.problems[0]
    loads.write(name, complete)
    assert loads.load() == {name: list(range(len(read) + 1, 104))}
    assert loads.problems == []


def test_the_readable_lines_of_a_short_truncated_compressed_file_land(loads: Loads) -> None:
    content = b"".join(ctm_lines(number, number, number % 7) for number in range(1, 61))
    compressed = gzip.compress(content)
    loads.write("app.log.gz", compressed[:-12])
    first = loads.load()["app.log.gz"]
    assert first == list(range(1, len(first) + 1)) and len(content) < HEAD_BYTES
    assert len(loads.problems) == 1 and f"after line {len(first)}: " in loads.problems[0]
    assert loads.load() == {} and len(loads.problems) == 1
    loads.write("app.log.gz", compressed)
    assert loads.load().get("app.log.gz", []) == list(range(len(first) + 1, 61)) and not loads.problems


def test_compression_is_recognized_by_the_first_bytes_and_not_by_the_name(loads: Loads) -> None:
    loads.write("plain.log.gz", ctm_lines(1, 1))
    loads.write("compressed.log", gzip.compress(ctm_lines(2, 2)))
    assert loads.load() == {"compressed.log": [2], "plain.log.gz": [1]}


def test_an_unreadable_file_is_left_out_and_the_others_are_read(loads: Loads) -> None:
    loads.write("a.log.gz", b"\x1f\x8b" + b"nonsense")
    loads.write("b.log", ctm_lines(1, 1))
    assert loads.load() == {"b.log": [1]}
    assert len(loads.problems) == 1 and "a.log.gz" in loads.problems[0]


# ---------------------------------------------------------------- standard input


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gzip", "zstd"])
def test_standard_input_is_read_to_the_end_and_has_no_checkpoint(
    pack: Callable[[bytes], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    known: dict[str, Any] = {}
    for _ in range(2):
        stream = io.BufferedReader(io.BytesIO(pack(ctm_lines(1, 2)[:-1])))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(stream))
        used = new_reader()
        list(used.tables(find(["-"]), known))
        known = used.checkpoints
        (file,) = used.result.files
        assert (file.name, file.format, file.landed, file.problem) == ("standard input", "ctm", 2, None)
    assert known == {}


# ---------------------------------------------------------------- paths


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with files of many names."""
    names = "b.jsonl a.ndjson c.log d.jsonl.gz e.log.zst f.ndjson.zstd notes.txt g.json h.jsonl.bak log app.log.1"
    for name in (*names.split(), "deep/er/i.jsonl", "deep/j.txt", ".hidden/k.log", "a[1].log"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    (tmp_path / "empty").mkdir()
    (tmp_path / "a folder.jsonl").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names_of(*paths: str | Path) -> list[str]:
    return [file.name for file in find(map(str, paths))]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (["b.jsonl"], ["b.jsonl"]),
        # a file that is named explicitly is read whatever its suffix
        (["notes.txt", "log"], ["notes.txt", "log"]),
        (["./b.jsonl"], ["b.jsonl"]),
        (["deep"], ["deep/er/i.jsonl"]),
        (["deep/"], ["deep/er/i.jsonl"]),
        (["*.log"], ["a[1].log", "c.log"]),
        (["app.log*"], ["app.log.1"]),
        (["**/*.jsonl"], ["b.jsonl", "deep/er/i.jsonl"]),
        (["[bc].*"], ["b.jsonl", "c.log"]),
        (["?.jsonl", "?.log"], ["b.jsonl", "c.log"]),
        # the name of an existing file is not used as a pattern
        (["a[1].log"], ["a[1].log"]),
        # files in the order of the paths, each once
        (["c.log", "b.jsonl"], ["c.log", "b.jsonl"]),
        (["c.log", "*.log", "c.log"], ["c.log", "a[1].log"]),
        (["deep", "deep/er", "deep/er/i.jsonl"], ["deep/er/i.jsonl"]),
        (["b.jsonl", "deep/../b.jsonl"], ["b.jsonl"]),
        (["-"], ["standard input"]),
        (["c.log", "-", "-"], ["c.log", "standard input"]),
    ],
)
def test_paths_resolve_to_files(paths: list[str], names: list[str]) -> None:
    assert names_of(*paths) == names


def test_a_folder_includes_the_logs_in_its_subfolders(folder: Path) -> None:
    names = [str(Path(name).relative_to(folder)) for name in names_of(folder)]
    compressed = ["d.jsonl.gz", "e.log.zst", "f.ndjson.zstd"]
    assert names == sorted(
        [".hidden/k.log", "a.ndjson", "a[1].log", "b.jsonl", "c.log", "deep/er/i.jsonl", *compressed]
    )


def test_a_file_given_by_relative_and_absolute_path_is_listed_once(folder: Path) -> None:
    assert names_of("c.log", folder / "c.log") == ["c.log"]
    assert names_of(folder / "c.log", "c.log") == [str(folder / "c.log")]


def test_a_link_and_its_target_are_one_file(folder: Path) -> None:
    (folder / "deep/today.jsonl").symlink_to(folder / "deep/er/i.jsonl")
    assert len(names_of("deep")) == 1


def test_a_tilde_is_the_home_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))
    assert names_of("~/c.log") == [str(folder / "c.log")]


def test_a_file_has_its_size_on_disk(folder: Path) -> None:
    assert [file.size for file in find(["b.jsonl", "-"])] == [len("b.jsonl"), 0]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing.jsonl", "nothing.jsonl: no such file."),
        ("nothing/*.jsonl", "nothing/*.jsonl: no such file."),
        ("*.parquet", "*.parquet: no such file."),
        ("empty", "empty: this folder has no .jsonl, .ndjson, .log, .db, .sqlite, .sqlite3 files."),
        ("a folder*", "a folder*: no such file."),
        ("memory://nothing.jsonl", "memory://nothing.jsonl: no files found."),
        ("nothing://bucket/a.jsonl", "nothing://bucket/a.jsonl: "),
    ],
)
def test_a_path_without_files_is_refused(path: str, message: str) -> None:
    with pytest.raises(UsageError) as raised:
        find(["c.log", path])
    assert str(raised.value).startswith(message)


@pytest.fixture
def bucket() -> None:
    """A bucket in fsspec's file system in memory."""
    filesystem = fsspec.filesystem("memory")
    filesystem.store.clear()
    for name in ("logs/a.jsonl", "logs/deep/b.log.gz", "logs/notes.txt"):
        filesystem.pipe(f"/{name}", gzip.compress(ctm_lines(1, 2)) if name.endswith("gz") else ctm_lines(1, 2))


@pytest.mark.usefixtures("bucket")
@pytest.mark.parametrize(
    ("path", "names"),
    [
        ("memory://logs/a.jsonl", ["memory:///logs/a.jsonl"]),
        ("memory://logs", ["memory:///logs/a.jsonl", "memory:///logs/deep/b.log.gz"]),
        ("memory://logs/*.jsonl", ["memory:///logs/a.jsonl"]),
        ("memory://logs/*", ["memory:///logs/a.jsonl", "memory:///logs/notes.txt"]),
    ],
)
def test_urls_resolve_to_files_in_buckets(path: str, names: list[str]) -> None:
    assert names_of(path, path) == names


@pytest.mark.usefixtures("bucket")
def test_files_in_buckets_have_checkpoints_too() -> None:
    known: dict[str, Any] = {}
    for expected in ([2, 2], [0, 0], [1, 0]):
        used = new_reader(format="ctm")
        list(used.tables(find(["memory://logs"]), known))
        known = used.checkpoints
        assert [file.landed for file in used.result.files] == expected
        if expected == [0, 0]:
            fsspec.filesystem("memory").pipe("/logs/a.jsonl", ctm_lines(1, 3))


# ---------------------------------------------------------------- names, links and streams


def test_a_file_name_that_is_not_utf_8_is_shown_with_escaped_bytes(loads: Loads) -> None:
    with open(os.fsencode(loads.folder) + b"/caf\xe9.jsonl", "wb") as file:  # noqa: PTH123 - the name is bytes
        file.write(ctm_lines(1, 2))
    assert loads.load("") == {r"caf\xe9.jsonl": [1, 2]}
    loads.write(r"caf\xe9.jsonl", ctm_lines(5, 5))
    assert loads.load("") == {r"caf\xe9.jsonl (2)": [5]} and not loads.problems


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("name", ["~tilde.jsonl", "~root.jsonl", "a::b.jsonl", "memory::x.jsonl", "c:d?.log"])
def test_an_existing_file_with_special_characters_in_its_name_is_found(name: str) -> None:
    Path(name).write_bytes(ctm_lines(1, 1))
    (file,) = find([name])
    assert file.name == name
    with file.open() as (stream, _):
        assert stream.read(99) == ctm_lines(1, 1)


def test_a_tilde_with_an_unknown_user_is_no_such_file() -> None:
    with pytest.raises(UsageError, match="no such file"):
        find(["~nobody-of-this-name/a.jsonl"])


@pytest.mark.parametrize(
    "path", ["http://host:abc/a.jsonl?q=1", "http://user:secret@host:80x/a", "sftp://host:99999/a"]
)
def test_a_port_that_is_not_a_number_is_refused(path: str) -> None:
    with pytest.raises(UsageError, match="the port is not a number") as refused:
        find([path])
    assert "secret" not in str(refused.value) and "q=1" not in str(refused.value)


REMOTE = [
    ("http://bob:hunter2@h:8080/a.jsonl", "http://h:8080/a.jsonl"),
    ("https://h:80/a.jsonl?sig=hunter2", "https://h:80/a.jsonl"),
    ("https://h:80?x=hunter2", "https://h:80"),
    ("sftp://bob:hunter2@h/a.jsonl", "sftp://h/a.jsonl"),
    ("s3://arn:aws:s3:eu-central-1:123:accesspoint/logs/a#1.jsonl", None),
]


@pytest.mark.parametrize(("path", "name"), REMOTE)
def test_a_url_is_shown_without_its_secrets_and_read_with_them(
    path: str, name: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = fsspec.filesystem("memory", skip_instance_cache=True)
    monkeypatch.setattr(found, "isdir", lambda _: False)
    monkeypatch.setattr(found, "isfile", lambda _: True)
    monkeypatch.setattr(found, "glob", lambda _, detail: {path: found.info(path)})
    monkeypatch.setattr(found, "info", lambda _: {"size": 3, "ETag": "1"})
    monkeypatch.setattr(found, "unstrip_protocol", lambda _: path)
    monkeypatch.setattr(fsspec, "url_to_fs", lambda _: (found, path))
    assert [(file.url, file.name) for file in find([path])] == [(path, name or path)]

    def fail(_: str) -> None:
        raise PermissionError(f"403 for {path}")

    monkeypatch.setattr(fsspec, "url_to_fs", fail)
    with pytest.raises(UsageError, match="403 for") as refused:
        find([path])
    assert str(refused.value).startswith(f"{name or path}: ") and "hunter2" not in str(refused.value)


def test_a_url_that_fails_to_open_is_shown_without_its_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    url = "https://bob:hunter2@h/a.jsonl?sig=hunter2"

    def fail(*_: Any) -> None:
        raise FileNotFoundError(url)

    monkeypatch.setattr(fsspec, "open", fail)
    used = new_reader(format="ctm")
    list(used.tables([InputFile("https://h/a.jsonl", url, 3)], {}))
    assert [file.problem for file in used.result.files] == ["https://h/a.jsonl: https://h/a.jsonl"]


@pytest.mark.parametrize("has_length", [False, True], ids=["without a length", "without ranges"])
def test_a_server_without_range_requests_is_a_problem_of_that_file_only(has_length: bool, loads: Loads) -> None:
    content = ctm_lines(1, 6, MEBIBYTE)

    class Server(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.send_response(200)
            if has_length:
                self.send_header("Content-Length", str(len(content)))
            self.end_headers()

        def do_GET(self) -> None:
            self.do_HEAD()
            # the client may close the connection early
            with contextlib.suppress(ConnectionError):
                self.wfile.write(content)

        def log_message(self, *_: Any) -> None:
            pass

    loads.write("a.log", ctm_lines(1, 1))
    with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/b.jsonl"
        used = new_reader(format="ctm")
        list(used.tables(find([url, str(loads.folder / "a.log")]), {}))
        server.shutdown()
    remote, local = used.result.files
    assert str(remote.problem).startswith(f"{url}: the server cannot send parts of the file (")
    assert (local.landed, local.problem) == (1, None)


def test_a_pipe_is_read_as_a_stream(loads: Loads) -> None:
    reading, writing = os.pipe()
    os.write(writing, ctm_lines(1, 3)[:-1])
    os.close(writing)
    used = new_reader(format="ctm")
    list(used.tables(find([f"/dev/fd/{reading}"]), loads.known))
    os.close(reading)
    assert [file.landed for file in used.result.files] == [3] and used.checkpoints == {}
    assert find(["/dev/stdin", "-"]) == find(["-"])


def test_closing_a_pipe_does_not_wait_for_a_thread_that_reads_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    writing = os.open(tmp_path / "fifo", os.O_RDWR)
    with find([str(tmp_path / "fifo")])[0].open_compressed() as stream:
        thread = threading.Thread(target=stream.read, args=(9,))
        thread.start()
        time.sleep(0.2)
        release = threading.Timer(5, os.write, (writing, b"x" * 9))
        release.start()
    assert thread.is_alive()
    release.cancel()
    os.write(writing, b"x" * 9)
    thread.join()
    os.close(writing)


def test_a_fifo_in_a_folder_is_not_opened(loads: Loads) -> None:
    loads.write("a.jsonl", ctm_lines(1, 1))
    os.mkfifo(loads.folder / "b.jsonl")
    assert loads.load("") == loads.load("*", again=True) == {"a.jsonl": [1]}
    assert [(file.is_stream, file.is_fifo) for file in find([str(loads.folder / "b.jsonl")])] == [(True, True)]


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A folder with symbolic links to a file and a folder outside it, to a file inside it, and to itself."""
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for path in (outside / "secret.jsonl", outside / "deep/er.jsonl", inside / "own.jsonl"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())
    (inside / "file.jsonl").symlink_to(outside / "secret.jsonl")
    (inside / "deep").symlink_to(outside / "deep")
    (inside / "same.jsonl").symlink_to("own.jsonl")
    (inside / "round").symlink_to(inside)
    (outside / "deep/back").symlink_to(inside)
    return inside


@pytest.mark.parametrize(
    ("path", "left_out"),
    [("", ["deep", "file.jsonl"]), ("**/*.jsonl", ["file.jsonl"]), ("*/*", ["deep/er.jsonl", "round/file.jsonl"])],
)
def test_a_link_that_points_outside_the_folder_is_left_out(path: str, left_out: list[str], linked: Path) -> None:
    files = find([str(linked / path)])
    assert [Path(file.name).relative_to(linked).as_posix() for file in files if file.problem] == left_out
    assert {Path(file.url).name for file in files if not file.problem} == {"own.jsonl"}
    used = new_reader(format="ctm")
    list(used.tables(files, {}))
    assert {file.name: file.is_foreign for file in used.result.files if file.problem} == dict.fromkeys(
        [str(linked / name) for name in left_out], True
    )


def test_links_are_followed_if_requested_or_named_explicitly(linked: Path) -> None:
    followed = find([str(linked)], follow_links=True)
    assert sorted(Path(file.url).name for file in followed) == ["er.jsonl", "own.jsonl", "secret.jsonl"]
    assert not any(file.problem for file in followed)
    for name in ("file.jsonl", "deep"):
        assert [file.problem for file in find([str(linked / name)]) if "back" not in file.name] == [None]


@pytest.mark.parametrize(
    ("path", "check"), [("", "os.scandir"), ("*.jsonl", "Path.is_file"), ("**/*.jsonl", "Path.is_file")]
)
def test_a_file_that_disappears_after_it_was_listed_is_left_out(
    path: str, check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.jsonl", "b.jsonl"):
        (tmp_path / name).write_bytes(ctm_lines(1, 1))
    remove_after(check, tmp_path / "b.jsonl", monkeypatch)
    assert [(Path(file.name).name, file.problem) for file in find([str(tmp_path / path)])] == [("a.jsonl", None)]


def test_a_named_file_that_disappears_is_no_such_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.jsonl").write_bytes(ctm_lines(1, 1))
    remove_after("Path.exists", tmp_path / "a.jsonl", monkeypatch)
    with pytest.raises(UsageError, match=r"a\.jsonl: no such file\."):
        find([str(tmp_path / "a.jsonl")])


def remove_after(check: str, gone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Removes a file as soon as this function of tokenmart.files has seen it."""
    owner, _, name = check.partition(".")
    function = getattr(getattr(files, owner), name)

    def checked(path: Any) -> Any:
        answer = list(function(path)) if name == "scandir" else function(path)
        if name == "scandir" or path == gone:
            gone.unlink(missing_ok=True)
        return answer

    monkeypatch.setattr(f"tokenmart.files.{check}", checked)


# ---------------------------------------------------------------- nothing new


@pytest.mark.parametrize("suffix", COMPRESSED)
def test_a_compressed_file_without_new_lines_is_not_decompressed(
    suffix: str, loads: Loads, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    open_file = InputFile.open

    def counted(file: InputFile) -> Any:
        opened.append(Path(file.name).name)
        return open_file(file)

    monkeypatch.setattr(InputFile, "open", counted)
    for name in ("a", "same"):
        loads.write(f"{name}.jsonl.{suffix}", COMPRESSED[suffix](ctm_lines(1, 3)))
    os.utime(loads.folder / f"same.jsonl.{suffix}", (7, 7))
    loads.write("plain.jsonl", ctm_lines(4, 5))
    loads.load()
    opened.clear()
    known = dict(loads.known)
    assert loads.load() == {} and opened == [] and loads.known == known
    loads.rename(f"a.jsonl.{suffix}", "renamed")
    assert loads.load() == {} and opened == []
    # with a checkpoint of version 0.1, the file is decompressed once
    loads.known = {
        key: {name: value for name, value in checkpoint.items() if name != "compressed"}
        for key, checkpoint in loads.known.items()
    }
    assert loads.load() == {} and opened
    opened.clear()
    assert loads.load() == {} and opened == []
    # with another modification time, the content may have changed
    os.utime(loads.folder / "renamed", (8, 8))
    assert loads.load() == {} and "renamed" in opened
    opened.clear()
    assert loads.load() == {} and opened == []
    # another format reads the lines again
    loads.load(format="tokenmeter")
    assert "renamed" in opened


def test_a_compressed_file_of_the_same_size_and_time_with_another_beginning_is_read(loads: Loads) -> None:
    loads.write("a.jsonl.gz", gzip.compress(ctm_lines(1, 2), mtime=0))
    os.utime(loads.folder / "a.jsonl.gz", (7, 7))
    loads.load()
    size = (loads.folder / "a.jsonl.gz").stat().st_size
    loads.write("a.jsonl.gz", gzip.compress(ctm_lines(5, 6), mtime=0))
    os.utime(loads.folder / "a.jsonl.gz", (7, 7))
    assert (loads.folder / "a.jsonl.gz").stat().st_size == size
    assert loads.load() == {"a.jsonl.gz": [5, 6]}


def test_a_compressed_file_with_the_size_time_and_beginning_of_another_is_read(loads: Loads) -> None:
    # level 0 stores without compressing: the sizes and the first bytes are equal
    beginning = ctm_lines(1, 100)
    for name, rest in (("a", ctm_lines(101, 102)), ("b", ctm_lines(201, 202))):
        loads.write(f"{name}.gz", gzip.compress(beginning + rest, 0, mtime=0))
        os.utime(loads.folder / f"{name}.gz", (7, 7))
    contents = [(loads.folder / f"{name}.gz").read_bytes() for name in "ab"]
    assert len(contents[0]) == len(contents[1]) and contents[0][:HEAD_BYTES] == contents[1][:HEAD_BYTES]
    assert loads.load("a.gz") == {"a.gz": [*range(1, 103)]}
    assert loads.load("b.gz") == {"b.gz": [*range(1, 101), 201, 202]}


def test_a_compressed_file_that_was_read_in_two_formats_is_recognized_in_the_last_one(loads: Loads) -> None:
    loads.write("own.sql", (Path(reader.__file__).parent / "formats/ctm.sql").read_bytes())
    loads.write("a.gz", gzip.compress(ctm_lines(1, 2)))
    own = str(loads.folder / "own.sql")
    assert loads.load("a.gz") == loads.load("a.gz", format=own) == {"a.gz": [1, 2]}
    os.utime(loads.folder / "a.gz", (7, 7))
    assert loads.load("a.gz", format=own) == {}


def test_the_least_recently_used_checkpoints_are_deleted(loads: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MOST_CHECKPOINTS", 2)
    for name, content in (
        ("1.log", ctm_lines(1, 1)),
        ("2.log", ctm_lines(2, 2)),
        ("1.log", ctm_lines(3, 3)),
        ("3.log", ctm_lines(4, 4)),
    ):
        loads.append(name, content)
        assert len(loads.load(name)) == 1
    assert sorted(Path(known["name"]).name for known in loads.known.values()) == ["1.log", "3.log"]


def test_no_checkpoint_of_the_current_load_is_deleted(loads: Loads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "MOST_CHECKPOINTS", 2)
    for number in range(1, 6):
        loads.write(f"{number}.log", ctm_lines(number, number))
    assert loads.load() == {f"{number}.log": [number] for number in range(1, 6)}
    assert loads.load() == {}
    loads.append("5.log", ctm_lines(6, 6))
    assert loads.load() == {"5.log": [6]}
    assert loads.load() == {}


# ---------------------------------------------------------------- samples


def test_files_in_a_marked_folder_are_samples(tmp_path: Path) -> None:
    for name in ("examples/ctm/a.jsonl", "own/a.jsonl"):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_bytes(ctm_lines(1, 1))
    (tmp_path / "examples" / SAMPLE_MARK).touch()
    (tmp_path / "own/link.jsonl").symlink_to(tmp_path / "examples/ctm/a.jsonl")
    found = find([str(tmp_path / "own"), str(tmp_path / "examples"), "-"], follow_links=True)
    assert [(Path(file.name).name, file.is_sample) for file in found] == [
        ("a.jsonl", False),
        ("link.jsonl", True),
        ("standard input", False),
    ]
