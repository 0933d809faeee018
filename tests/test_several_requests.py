"""Lines with several requests, and .json files whose values extend over several lines."""

import gzip
import json
from pathlib import Path

import pytest

from conftest import Mart, tokenledger
from parsing import Line
from tokenmart.documents import document_blocks
from tokenmart.files import find

SPANS = """-- Lines with several spans.
create macro recognizes(line) as json_exists(line, '$.spans');

with spans as (select line_id, unnest(line -> '$.spans[*]') as span from lines)

select
    line_id,
    span ->> '$.id' as event_id,
    span ->> '$.at' as occurred_at,
    'gpt-4o' as model,
    span ->> '$.in' as input_tokens,
    span ->> '$.out' as output_tokens
from spans
"""


def span(event_id: str | None, tokens: int = 1) -> Line:
    return {"id": event_id, "at": "2026-11-01T09:30:00Z", "in": tokens, "out": 1}


def accounts(mart: Mart) -> list[tuple[int, ...]]:
    """Lines read, landed, skipped and rejected, and events landed, of each load."""
    columns = "lines_read, lines_landed, lines_skipped, lines_rejected, events_landed"
    return mart.query(f"select {columns} from raw_usage.loaded_files order by loaded_at, source_file")


@pytest.fixture
def spans(mart: Mart) -> Path:
    """A format whose lines have several requests."""
    script = mart.folder / "spans.sql"
    script.write_text(SPANS)
    return script


def test_a_line_can_have_several_requests_or_none(mart: Mart, spans: Path) -> None:
    lines = [{"spans": [span("a"), span("b", 2)]}, {"spans": []}, {"spans": [span("c", 3)]}]
    output = mart.run("load", mart.write("a.jsonl", *lines), "--format", spans).output
    assert "Landed 2 of 3 new lines with 3 requests from 1 of 1 file" in output and "1 skipped" in output
    assert accounts(mart) == [(3, 2, 1, 0, 3)]
    assert mart.query("select event_id, input_tokens, source_line from raw_usage.events order by 1") == [
        ("a", 1, 1),
        ("b", 2, 1),
        ("c", 3, 3),
    ]


def test_a_rejected_request_does_not_stop_the_others_of_its_line(mart: Mart, spans: Path) -> None:
    lines = [{"spans": [span("a"), span("bad", -1), span("worse", -2), span("b")]}, {"spans": [span("c")]}]
    output = mart.run("load", mart.write("a.jsonl", *lines), "--format", spans, code=3).output
    assert "rejected 1: input_tokens is negative, first at" in output
    assert mart.query("select event_id from raw_usage.events order by 1") == [("a",), ("b",), ("c",)]
    # the line is rejected, so that it can be corrected and loaded again
    assert accounts(mart) == [(2, 1, 0, 1, 3)]
    assert mart.query("select source_line, line from raw_usage.rejected_lines") == [(1, json.dumps(lines[0]))]
    mart.run("build")


def test_requests_of_a_line_without_ids_have_different_ids(mart: Mart, spans: Path) -> None:
    path = mart.write("a.jsonl", {"spans": [span(None), span(None), span("own")]}, {"spans": [span(None)]})
    mart.run("load", path, "--format", spans)
    first = mart.query("select event_id, source_line from raw_usage.events order by 2, 1")
    assert len({event_id for event_id, _ in first}) == 4
    mart.run("load", path, "--format", spans, "--again")
    assert mart.query("select count(*), count(distinct event_id) from raw_usage.events") == [(8, 4)]


def test_the_objects_of_an_array_are_requests(mart: Mart) -> None:
    lines: list[str | Line] = [
        json.dumps([tokenledger("a"), tokenledger("b", input_tokens=2)]),
        tokenledger("c"),
        "[]",
        json.dumps([tokenledger("d"), 7]),
        "[not JSON",
    ]
    mart.run("load", mart.write("a.jsonl", *lines), code=3)
    assert mart.query("select event_id, source_line from raw_usage.events order by 1") == [
        ("a", 1),
        ("b", 1),
        ("c", 2),
        ("d", 4),
    ]
    assert accounts(mart) == [(5, 2, 1, 2, 4)]
    assert mart.query("select source_line, reason from raw_usage.rejected_lines order by 1") == [
        (4, "not a JSON object"),
        (5, "not JSON"),
    ]


PRETTY = json.dumps([tokenledger("a"), tokenledger("b")], indent=2)
OBJECTS = "\n".join(json.dumps(tokenledger(name), indent=2) for name in "ab")


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        (PRETTY, 1),
        (OBJECTS, 2),
        ("\ufeff\n" + OBJECTS + "\n\n", 2),
        (OBJECTS.replace("}\n{", "}{"), 2),
        (json.dumps(tokenledger("a")) + "\n" + json.dumps(tokenledger("b")) + "\n", 2),
        (json.dumps([tokenledger("a"), tokenledger("b")]), 1),
    ],
    ids=["array", "objects", "mark and blank lines", "no space", "lines", "no newline"],
)
@pytest.mark.parametrize("is_compressed", [False, True])
def test_json_files_are_read_by_value(mart: Mart, text: str, lines: int, is_compressed: bool) -> None:
    path = mart.folder / ("a.json.gz" if is_compressed else "a.json")
    path.write_bytes(gzip.compress(text.encode()) if is_compressed else text.encode())
    mart.run("load", path)
    assert mart.query("select event_id from raw_usage.events order by 1") == [("a",), ("b",)]
    assert accounts(mart) == [(lines, lines, 0, 0, 2)]
    assert "Nothing new" in mart.run("load", path).output


def test_values_that_are_appended_are_read_alone(mart: Mart) -> None:
    path = mart.folder / "a.json"
    path.write_text(OBJECTS)
    mart.run("load", path)
    with path.open("a") as file:
        file.write("\n" + json.dumps(tokenledger("c"), indent=2))
    mart.run("load", path)
    assert mart.query("select event_id, source_line from raw_usage.events order by 1") == [("a", 1), ("b", 2), ("c", 3)]
    assert accounts(mart) == [(2, 2, 0, 0, 2), (1, 1, 0, 0, 1)]


def test_the_offsets_of_values_are_those_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "é.json"
    text = '\n{"a":\n "é"}\n\n {"b": 1}\n'
    path.write_text(text)
    (file,) = find([str(path)])
    (block,) = document_blocks(file) or ()
    assert [line.as_py().decode().strip() for line in block.lines] == ['{"a":  "é"}', '{"b": 1}']
    assert block.offsets().to_pylist() == [0, text.encode().index(b'{"b"')]
    assert block.end == len(text.encode())


@pytest.mark.parametrize("text", ['{"a": 1', "", "\n", '{"a": 1} and text', '{"a": 1}\n{"b": \n'])
def test_files_that_are_not_json_are_read_line_by_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    assert document_blocks(find([str(path)])[0]) is None
