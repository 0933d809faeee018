"""Valid lines land as the event contract specifies; others are rejected with a reason."""

import base64
import datetime as dt
import functools
import json
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Context, Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conftest import as_line, new_reader, tokenledger
from tokenmart import formats
from tokenmart.errors import UsageError
from tokenmart.files import find
from tokenmart.formats import Parser
from tokenmart.parse import parse
from tokenmart.recognition import best, counts
from tokenmart.unmapped import Keep

Line = str | bytes | dict[str, Any]
GOOD = as_line(tokenledger("good"))
DEPTH = 100_000


@dataclass(frozen=True)
class Outcome:
    events: list[dict[str, Any]]
    rejected: list[dict[str, Any]]
    omitted: list[tuple[int, str, str]]


parser = functools.cache(Parser)


def parsed(*lines: Line, format_: str = "tokenledger", **options: Any) -> Outcome:
    """The result of parsing these lines, with the Parser's options."""
    chunk = pa.array([as_line(line) for line in lines], pa.large_binary())
    used = parser(**options)
    result = parse(
        pa.chunked_array([chunk]),
        pa.chunked_array([pa.repeat(False, len(lines))]),
        used.format(format_),
        used,
    )
    omitted = sorted(tuple(row.values()) for row in result.omitted.to_pylist())
    return Outcome(result.events.to_pylist(), result.rejected.to_pylist(), omitted)


def landed(*lines: Line, **options: Any) -> list[dict[str, Any]]:
    """The events of these lines, after checking that all lines land."""
    result = parsed(*lines, **options)
    assert [row["reason"] for row in result.rejected] == []
    assert len(result.events) == len(lines)
    return result.events


def with_raw(**fields: str) -> bytes:
    """A TokenLedger line with fields in raw JSON, so that Python does not change their digits."""
    event = {name: value for name, value in tokenledger("raw").items() if name not in fields}
    return as_line(event)[:-1] + "".join(f', "{name}": {value}' for name, value in fields.items()).encode() + b"}"


# ---------------------------------------------------------------- what is rejected

TOKENS = "input_tokens"
COST = "reported_cost_usd is not a finite number"
TOO_COSTLY = "reported_cost_usd is 10^12 or more"
EMPTY = "no model, tokens, cost or duration"
OUTSIDE = "timestamp is not between 2000 and 2099"
REJECTED: dict[str, tuple[Line, str]] = {
    "text": (b"nothing of ours", "not JSON"),
    "half an object": (GOOD[:-1], "not JSON"),
    "two objects": (GOOD + GOOD, "not JSON"),
    "single quotes": (b"{'event_id': 'e'}", "not JSON"),
    "raw control character": (with_raw(user_id='"a\x01b"'), "not JSON"),
    "raw NUL in a text": (with_raw(user_id='"a\x00b"'), "not JSON"),
    "raw NUL at the end": (GOOD + b"\x00", "not JSON"),
    "only raw NULs": (b"\x00" * 9, "not JSON"),
    "array": (b"[12]", "not a JSON object"),
    "number": (b"12", "not a JSON object"),
    "string": (b'"event"', "not a JSON object"),
    "null": (b"null", "not a JSON object"),
    "boolean": (b"true", "not a JSON object"),
    "deep array": (b"[" * DEPTH + b"]" * DEPTH, "not a JSON object"),
    "half of a deep array": (b"[" * DEPTH, "not JSON"),
    "invalid UTF-8": (GOOD.replace(b"good", b"go\xff\xfed"), "not valid UTF-8"),
    "cut UTF-8": (GOOD.replace(b"good", b"go\xe2\x82"), "not valid UTF-8"),
    "surrogate in UTF-8": (GOOD.replace(b"good", b"go\xed\xa0\xbd"), "not valid UTF-8"),
    "Latin-1 with a NUL": (b'{"\xe9": "\x00"}', "not valid UTF-8"),
    "duplicate key": (GOOD[:-1] + b', "model": "other"}', "duplicate key"),
    "duplicate unknown key": (GOOD[:-1] + b', "k": 1, "k": 1}', "duplicate key"),
    "no key": ({}, "no timestamp"),
    "no timestamp": ({"event_id": "e", "model": "m"}, "no timestamp"),
    "null timestamp": (with_raw(timestamp="null"), "no timestamp"),
    "empty timestamp": (tokenledger("e", ""), "timestamp does not parse"),
    "word": (tokenledger("e", "yesterday"), "timestamp does not parse"),
    "30 February": (tokenledger("e", "2026-02-30T00:00:00Z"), "timestamp does not parse"),
    "hour 25": (tokenledger("e", "2026-02-03T25:00:00Z"), "timestamp does not parse"),
    "unix seconds": (with_raw(timestamp="1793525400"), "timestamp does not parse"),
    "boolean timestamp": (with_raw(timestamp="true"), "timestamp does not parse"),
    "object as timestamp": (with_raw(timestamp='{"at": 1}'), "timestamp does not parse"),
    "year 1": (tokenledger("e", "0001-01-01T00:00:00Z"), OUTSIDE),
    "year 1999": (tokenledger("e", "1999-12-31T23:59:59.999999Z"), OUTSIDE),
    "year 2100": (tokenledger("e", "2100-01-01T00:00:00Z"), OUTSIDE),
    "year 9999": (tokenledger("e", "9999-12-31T23:59:59Z"), OUTSIDE),
    "infinity": (tokenledger("e", "infinity"), OUTSIDE),
    "negative": (with_raw(input_tokens="-1"), f"{TOKENS} is negative"),
    "fraction": (with_raw(input_tokens="1.5"), f"{TOKENS} is not a whole number"),
    "tiny fraction": (with_raw(input_tokens="1e-9"), f"{TOKENS} is not a whole number"),
    "number as text": (with_raw(input_tokens='"12"'), f"{TOKENS} is not a number"),
    "word as number": (with_raw(input_tokens='"many"'), f"{TOKENS} is not a number"),
    "empty text as number": (with_raw(input_tokens='""'), f"{TOKENS} is not a number"),
    "boolean as number": (with_raw(input_tokens="true"), f"{TOKENS} is not a number"),
    "array as number": (with_raw(input_tokens="[1]"), f"{TOKENS} is not a number"),
    "object as number": (with_raw(input_tokens='{"n": 1}'), f"{TOKENS} is not a number"),
    "NaN tokens": (with_raw(input_tokens="NaN"), f"{TOKENS} is not a number"),
    "infinite tokens": (with_raw(input_tokens="Infinity"), f"{TOKENS} is above 10^10"),
    "10^10 + 1": (with_raw(input_tokens="10000000001"), f"{TOKENS} is above 10^10"),
    "2^64": (with_raw(input_tokens="18446744073709551616"), f"{TOKENS} is above 10^10"),
    "1e300 tokens": (with_raw(input_tokens="1e300"), f"{TOKENS} is above 10^10"),
    "negative cached": (with_raw(cached_tokens="-1"), "cache_read_tokens is negative"),
    "negative output": (with_raw(output_tokens="-1"), "output_tokens is negative"),
    "NaN": (with_raw(cost_usd="NaN"), COST),
    "Infinity": (with_raw(cost_usd="Infinity"), COST),
    "-Infinity": (with_raw(cost_usd="-Infinity"), COST),
    "10^12": (with_raw(cost_usd="1000000000000"), TOO_COSTLY),
    "10^26": (with_raw(cost_usd="1e26"), TOO_COSTLY),
    "1e300": (with_raw(cost_usd="1e300"), TOO_COSTLY),
    "empty request": ({"timestamp": "2026-10-01T12:00:00Z", "input_tokens": 0, "model": ""}, EMPTY),
    "cost as a word": (with_raw(cost_usd='"free"'), COST),
    "cost as an empty text": (with_raw(cost_usd='""'), COST),
    "NaN as a text": (with_raw(cost_usd='"NaN"'), COST),
    "boolean cost": (with_raw(cost_usd="false"), COST),
}


@pytest.mark.parametrize("case", REJECTED)
def test_a_bad_line_is_rejected_unchanged_and_later_lines_land(case: str) -> None:
    line, reason = as_line(REJECTED[case][0]), REJECTED[case][1]
    # the other lines are compared with the keys of the first line
    result = parsed(line, tokenledger("next"), tokenledger("last"))
    assert [event["event_id"] for event in result.events] == ["next", "last"]
    (row,) = result.rejected
    assert (row["line_id"], row["reason"]) == (0, reason)
    if b"\x00" in line or line.decode("utf-8", "replace").encode() != line:
        assert (row["line"], base64.b64decode(row["line_base64"])) == (None, line)
    else:
        assert (row["line"].encode(), row["line_base64"]) == (line, None)


def test_each_of_many_bad_lines_is_rejected_for_its_own_reason() -> None:
    lines = [line for line, _ in REJECTED.values()]
    result = parsed(*lines)
    assert [(row["line_id"], row["reason"]) for row in result.rejected] == [
        (number, reason) for number, (_, reason) in enumerate(REJECTED.values())
    ]
    assert result.events == []


def test_landed_skipped_and_rejected_lines_of_a_file_add_up_to_the_lines_read(tmp_path: Path) -> None:
    blank = [b"", b"   ", b"\t", b"\r", b" \t\r"]
    bad = [as_line(line) for line, _ in REJECTED.values()]
    lines = [line for trio in zip([GOOD] * len(bad), bad, blank * len(bad), strict=False) for line in trio]
    path = tmp_path / "mixed.jsonl"
    path.write_bytes(b"".join(line + b"\n" for line in lines))
    reader = new_reader(format="tokenledger")
    tables = list(reader.tables(find([str(path)]), {}))
    (file,) = reader.result.files
    assert (file.read, file.landed, file.skipped, file.rejected) == (
        3 * len(bad),
        len(bad),
        len(bad),
        len(bad),
    )
    (counted,) = next(table for name, table in tables if name == "loaded_files").to_pylist()
    assert counted["lines_read"] == 3 * len(bad)
    assert counted["lines_landed"] == counted["lines_skipped"] == counted["lines_rejected"] == len(bad)
    rejected = [row for name, table in tables if name == "rejected_lines" for row in table.to_pylist()]
    # good, bad, blank, and so on: the bad ones are lines 2, 5, 8, ...
    assert [row["source_line"] for row in rejected] == list(range(2, 3 * len(bad), 3))
    offsets = [row["source_offset"] for row in rejected]
    content = path.read_bytes()
    assert [content[offset : offset + len(line)] for offset, line in zip(offsets, bad, strict=True)] == bad
    assert sum(reader.result.reasons.values()) == len(bad)


def test_an_overlong_line_is_rejected_with_its_head() -> None:
    used = parser()
    lines = pa.chunked_array([pa.array([GOOD, GOOD[:20]], pa.large_binary())])
    result = parse(lines, pa.chunked_array([pa.array([False, True])]), used.format("tokenledger"), used)
    (row,) = result.rejected.to_pylist()
    assert (row["line_id"], row["line"]) == (1, GOOD[:20].decode())
    assert row["reason"] == "longer than 64 MiB: only its first 1 MiB is kept"
    assert result.events["line_id"].to_pylist() == [0]


def test_an_overlong_line_is_rejected_even_if_its_head_is_an_event() -> None:
    used = parser()
    lines = pa.chunked_array([pa.array([GOOD, GOOD + b" "], pa.large_binary())])
    result = parse(lines, pa.chunked_array([pa.array([False, True])]), used.format("tokenledger"), used)
    assert result.events["line_id"].to_pylist() == [0]
    assert result.rejected["line_id"].to_pylist() == [1]


# ---------------------------------------------------------------- what lands


@pytest.mark.parametrize(
    "line",
    [GOOD + b"\r", b" " + GOOD, GOOD + b" \t", b"\t\r" + GOOD],
    ids=["CRLF", "before", "after", "both"],
)
def test_white_space_around_an_event_is_ignored(line: bytes) -> None:
    (plain,), (spaced,) = landed(GOOD), landed(line)
    assert spaced == plain


@pytest.mark.parametrize("blank", [b"", b" ", b"\t", b"\r", b" \t \r"])
def test_blank_lines_are_skipped(blank: bytes) -> None:
    result = parsed(blank, GOOD, blank)
    assert ([event["line_id"] for event in result.events], result.rejected) == ([1], [])


@pytest.mark.parametrize(
    ("json_", "tokens"),
    [
        ("0", 0),
        ("-0", 0),
        ("12.0", 12),
        ("1e3", 1000),
        ("10000000000", 10**10),
    ],
)
def test_whole_numbers_up_to_10_billion_land(json_: str, tokens: int) -> None:
    (event,) = landed(with_raw(input_tokens=json_, output_tokens=json_))
    assert (event["input_tokens"], event["output_tokens"]) == (tokens, tokens)


def test_missing_fields_are_unknown_and_not_zero() -> None:
    names = (
        "input_tokens",
        "output_tokens",
        "cache_read_tokens",
        "reported_cost_usd",
        "duration_ms",
        "user_id",
        "tags",
    )
    for fields in (
        {},
        dict.fromkeys(("input_tokens", "output_tokens", "cached_tokens", "cost_usd", "user_id")),
    ):
        (event,) = landed({"event_id": "e", "timestamp": "2026-10-01T12:00:00Z", "model": "m", **fields})
        assert [event[name] for name in names] == [None] * len(names)


def test_empty_text_is_unknown() -> None:
    (event,) = landed(tokenledger("", user_id="", model=""))
    assert (event["event_id"], event["user_id"], event["model"]) == (None, None, None)


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"\u0000", "\ufffd"),
        (r"a\u0000b", "a\ufffdb"),
        (r"\u0000\u0000", "\ufffd\ufffd"),
        (r"\u0000\u0000\u0000", "\ufffd\ufffd\ufffd"),
        (r"x\u0000\u0000\u0000\u0000y", "x\ufffd\ufffd\ufffd\ufffdy"),
        (r"\\u0000", "\\u0000"),
        (r"\\\u0000", "\\\ufffd"),
        (r"\\\\u0000", r"\\u0000"),
        (r"\\\\\u0000", "\\\\\ufffd"),
        (r"\u0000\\\u0000\\u0000", "\ufffd\\\ufffd\\u0000"),
        (r"\n\u0000\"\u0000", '\n\ufffd"\ufffd'),
        (r"\u0000u0000", "\ufffdu0000"),
    ],
)
def test_a_nul_escape_lands_as_the_replacement_character(escaped: str, text: str) -> None:
    assert json.loads(f'"{escaped}"').replace("\0", "\ufffd") == text
    before, event, after = landed(GOOD, with_raw(user_id=f'"{escaped}"'), GOOD)
    assert event["user_id"] == text
    assert before["event_id"] == after["event_id"] == "good"


def test_a_nul_escape_is_replaced_in_keys_tags_and_extra() -> None:
    (event,) = landed(with_raw(metadata=r'{"k": "\u0000", "k\u0000": 1}', other=r'"\u0000"'))
    assert json.loads(event["tags"]) == {"k": "\ufffd"}
    assert json.loads(event["extra"]) == {"other": "\ufffd"}


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"cut \ud83d", "cut "),
        (r"\ude00 cut", " cut"),
        (r"\uD83D", None),
        (r"\ud83d\ude00", "\U0001f600"),
        (r"\ud83d\ude00 cut \ud83d", "\U0001f600 cut "),
        (r"\ud83d\ud83d\ude00", "\U0001f600"),
        (r"\uD83D\uDE00\uDE00", "\U0001f600"),
        (r"\ud83d\ud83d", None),
        (r"a\\\ud83d", "a\\"),
        (r"a\\ud83d \ud83d", "a\\ud83d "),
        (r"\ud83d \\ude00", " \\ude00"),
        (r"C:\\udd \ud83d", "C:\\udd "),
        (r"\u0000\ud83d", "\ufffd"),
    ],
)
def test_an_unpaired_surrogate_is_removed_and_its_line_lands(escaped: str, text: str | None) -> None:
    before, event, after = landed(GOOD, with_raw(error_message=f'"{escaped}"'), GOOD)
    assert event["error_message"] == text
    assert before["event_id"] == after["event_id"] == "good"


def test_an_unpaired_surrogate_does_not_affect_metadata_in_json_text() -> None:
    metadata = json.dumps({"mood": "\U0001f600"})
    (event,) = landed(tokenledger("e", error_message="cut \ud83d", metadata=metadata))
    assert json.loads(event["tags"]) == {"mood": "\U0001f600"}


@pytest.mark.parametrize(("head", "tail"), [(b"[", b"]"), (b'{"a":', b"}")], ids=["arrays", "objects"])
@pytest.mark.parametrize("key", ["unknown", "metadata"])
def test_a_line_with_100_000_levels_of_nesting_lands(key: str, head: bytes, tail: bytes) -> None:
    deep = head * DEPTH + b"1" + tail * DEPTH
    (event,) = landed(GOOD[:-1] + b', "n": 1, "' + key.encode() + b'": ' + deep + b"}")
    assert (event["extra"], event["tags"]) == ('{"n":1}', None)


# ---------------------------------------------------------------- money


@pytest.mark.parametrize(
    ("json_", "usd"),
    [
        ("2.3500000000000002e-05", "0.000023500000"),
        ("2e-07", "0.000000200000"),
        ("0.0022", "0.002200000000"),
        ("0", "0"),
        ("-0.0", "0"),
        ("1E+2", "100"),
        ("999999999999", "999999999999"),
        # halves are rounded away from zero
        ("0.0000000000005", "0.000000000001"),
        ("0.0000000000015", "0.000000000002"),
        ("0.0000000000025", "0.000000000003"),
        ("0.00000000000049", "0"),
        ("0.1234567890125", "0.123456789013"),
        # a JSON number is as exact as a double: near 12,345,678 they are 1.9e-9 apart
        ("12345678.123456789012", "12345678.12345679"),
    ],
)
def test_a_cost_is_rounded_to_twelve_decimal_places(json_: str, usd: str) -> None:
    (event,) = landed(with_raw(cost_usd=json_))
    assert event["reported_cost_usd"] == Decimal(usd)


@pytest.mark.parametrize("json_", ["-0.000001", "-1", "-1e10"])
def test_a_negative_cost_is_ignored(json_: str) -> None:
    result = parsed(GOOD, with_raw(cost_usd=json_))
    assert [event["reported_cost_usd"] for event in result.events] == [None, None]
    assert result.omitted == [(1, "reported_cost_usd", "negative cost")]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.decimals(0, 10**11, places=20) | st.decimals(0, 1, places=15), min_size=1, max_size=40))
def test_a_cost_in_text_is_exact_to_twelve_decimal_places(amounts: list[Decimal]) -> None:
    lines = [{"id": "e", "timestamp": "2026-10-01T12:00:00", "total_cost": f"{amount:f}"} for amount in amounts]
    events = landed(*lines, format_="tokenmeter")
    with_twelve_places = [amount.quantize(Decimal("1e-12"), ROUND_HALF_UP, Context(60)) for amount in amounts]
    assert [event["reported_cost_usd"] for event in events] == with_twelve_places


@pytest.mark.parametrize(
    ("json_", "duration"),
    [
        *[("812.4", 812.4), ("0", 0.0), ("-1", None), ("NaN", None), ('"long"', None), ("null", None)],
        *[("1e10", 1e10), ("10000000000.1", None), ("1e300", None), ("Infinity", None)],
    ],
)
def test_an_impossible_duration_is_unknown(json_: str, duration: float | None) -> None:
    (event,) = landed(with_raw(duration_ms=json_))
    assert event["duration_ms"] == duration


# ---------------------------------------------------------------- time

KOLKATA, BERLIN = "Asia/Kolkata", "Europe/Berlin"


@pytest.mark.parametrize(
    ("time_zone", "timestamp", "utc"),
    [
        ("UTC", "2026-10-01T12:00:00", "2026-10-01 12:00:00"),
        ("UTC", "2026-10-01 12:00:00.392658", "2026-10-01 12:00:00.392658"),
        ("UTC", "2026-10-01T12:00:00.123Z", "2026-10-01 12:00:00.123"),
        ("UTC", "2026-10-01T12:00:00.1234567Z", "2026-10-01 12:00:00.123456"),
        ("UTC", "2026-10-01T12:00:00+05:30", "2026-10-01 06:30:00"),
        ("UTC", "2026-10-01T23:30:00-04:00", "2026-10-02 03:30:00"),
        ("UTC", "2026-10-01", "2026-10-01 00:00:00"),
        ("UTC", "2000-01-01T00:00:00Z", "2000-01-01 00:00:00"),
        ("UTC", "2099-12-31T23:59:59.999999Z", "2099-12-31 23:59:59.999999"),
        # UTC+05:30, all year
        (KOLKATA, "2026-10-01T12:00:00", "2026-10-01 06:30:00"),
        (KOLKATA, "2026-10-01T05:29:59.999999", "2026-09-30 23:59:59.999999"),
        (KOLKATA, "2026-10-01T12:00:00Z", "2026-10-01 12:00:00"),
        (KOLKATA, "2026-10-01T12:00:00+02:00", "2026-10-01 10:00:00"),
        # summer time begins on March 29 at 01:00 UTC and ends on October 25 at 01:00 UTC
        (BERLIN, "2026-03-29T01:59:59", "2026-03-29 00:59:59"),
        (BERLIN, "2026-03-29T03:00:00", "2026-03-29 01:00:00"),
        (BERLIN, "2026-07-01T12:00:00", "2026-07-01 10:00:00"),
        (BERLIN, "2026-10-25T01:59:59", "2026-10-24 23:59:59"),
        (BERLIN, "2026-10-25T02:30:00+02:00", "2026-10-25 00:30:00"),
        (BERLIN, "2026-10-25T02:30:00+01:00", "2026-10-25 01:30:00"),
        (BERLIN, "2026-10-25T03:00:00", "2026-10-25 02:00:00"),
        (BERLIN, "2026-12-01T12:00:00", "2026-12-01 11:00:00"),
    ],
)
def test_a_timestamp_without_an_offset_is_in_the_time_zone_of_the_load(
    time_zone: str, timestamp: str, utc: str
) -> None:
    (event,) = landed(tokenledger("e", timestamp), time_zone=time_zone)
    assert event["occurred_at"].astimezone(dt.UTC).replace(tzinfo=None) == dt.datetime.fromisoformat(utc)


@pytest.mark.parametrize(
    ("timestamp", "either"),
    [
        # ambiguous: 00:30 UTC before the clocks go back, 01:30 UTC after it
        ("2026-10-25T02:30:00", {"2026-10-25 00:30:00", "2026-10-25 01:30:00"}),
        # skipped: 01:30 UTC in standard time, 00:30 UTC in summer time
        ("2026-03-29T02:30:00", {"2026-03-29 01:30:00", "2026-03-29 00:30:00"}),
    ],
)
def test_an_ambiguous_or_skipped_local_time_lands_within_the_hour(timestamp: str, either: set[str]) -> None:
    (event,) = landed(tokenledger("e", timestamp), time_zone=BERLIN)
    assert event["occurred_at"].astimezone(dt.UTC).strftime("%Y-%m-%d %H:%M:%S") in either


def test_an_unknown_time_zone_is_refused() -> None:
    with pytest.raises(UsageError, match="There is no time zone Mars/Olympus"):
        Parser(time_zone="Mars/Olympus")


# ---------------------------------------------------------------- tokens and their parts

OWN_FORMAT = """
create type event as struct(
    i json, r json, w json, w1 json, o json, t json, convention varchar
);
select
    line_id,
    '2026-10-01T12:00:00Z' as occurred_at,
    'm' as model,
    event.i as input_tokens,
    event.r as cache_read_tokens,
    event.w as cache_write_tokens,
    event.w1 as cache_write_1h_tokens,
    event.o as output_tokens,
    event.t as reasoning_tokens,
    event.convention as token_convention
from events
"""
IN, EX = "inclusive", "exclusive"


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A format that passes token counts and convention on unchanged."""
    path = tmp_path_factory.mktemp("formats") / "bare.sql"
    path.write_text(OWN_FORMAT)
    return str(path)


@pytest.mark.parametrize(
    ("counts", "convention", "input_tokens", "landed_convention"),
    [
        ({"i": 100, "r": 40, "w": 10}, IN, 100, IN),
        ({"i": 100, "r": 40, "w": 10}, EX, 150, EX),
        ({"i": 100, "r": 40, "w": 10}, None, 100, IN),
        ({"i": 100, "r": 40, "w": 60}, None, 100, IN),
        # parts larger than the input are not included in it
        ({"i": 100, "r": 40, "w": 61}, None, 201, EX),
        ({"i": 100, "r": 40, "w": 61}, IN, 201, EX),
        ({"i": 0, "r": 1}, None, 1, EX),
        ({"i": 0, "r": 0, "w": 0}, None, 0, IN),
        ({"i": 7}, EX, 7, EX),
        ({"i": 7, "r": None, "w": 3}, EX, 10, EX),
        # the sum of an unknown count and a part is unknown
        ({"r": 40, "w": 10}, EX, None, EX),
        ({"r": 40}, None, None, IN),
        ({"i": 10**10, "r": 10**10, "w": 10**10}, EX, 3 * 10**10, EX),
    ],
)
def test_landed_input_includes_its_cached_parts(
    counts: dict[str, Any], convention: str | None, input_tokens: int | None, landed_convention: str, bare: str
) -> None:
    (event,) = landed({**counts, "convention": convention}, format_=bare)
    assert (event["input_tokens"], event["token_convention"]) == (input_tokens, landed_convention)
    assert (event["cache_read_tokens"], event["cache_write_tokens"]) == (counts.get("r"), counts.get("w"))


@pytest.mark.parametrize(
    ("writes", "one_hour_writes", "cache_write_tokens", "input_tokens"),
    [
        (1000, 400, 1000, 1100),
        (1000, 1000, 1000, 1100),
        (1000, 0, 1000, 1100),
        (1000, None, 1000, 1100),
        # 1,001 cannot be included in 1,000: 2,001 were written, in addition to 100 uncached ones
        (1000, 1001, 2001, 2101),
        (0, 5, 5, 105),
        (None, 5, 5, 105),
        (None, None, None, 100),
        (None, 0, None, 100),
    ],
)
def test_landed_cache_writes_include_one_hour_writes(
    writes: int | None, one_hour_writes: int | None, cache_write_tokens: int | None, input_tokens: int, bare: str
) -> None:
    (event,) = landed({"i": 100, "w": writes, "w1": one_hour_writes, "convention": EX}, format_=bare)
    assert event["cache_write_tokens"] == cache_write_tokens
    assert event["cache_write_1h_tokens"] == one_hour_writes
    assert event["input_tokens"] == input_tokens


@pytest.mark.parametrize(
    ("output", "reasoning", "output_tokens"),
    [
        (1970, 956, 1970),
        (1970, 1970, 1970),
        # 495 reasoning tokens in addition to 364 of output, not included in them
        (364, 495, 859),
        (0, 7, 7),
        (5, None, 5),
        (None, 7, None),
    ],
)
def test_landed_output_includes_reasoning(
    output: int | None, reasoning: int | None, output_tokens: int | None, bare: str
) -> None:
    (event,) = landed({"o": output, "t": reasoning}, format_=bare)
    assert (event["output_tokens"], event["reasoning_tokens"]) == (output_tokens, reasoning)


@pytest.mark.parametrize(("part", "name"), [("w1", "cache_write_1h_tokens"), ("t", "reasoning_tokens")])
def test_the_reason_names_the_invalid_part(part: str, name: str, bare: str) -> None:
    (row,) = parsed({"i": 1, part: -1}, format_=bare).rejected
    assert row["reason"] == f"{name} is negative"


# ---------------------------------------------------------------- content and extra

SECRET = "what they wrote"
CONTENT_KEYS = (
    *("prompt", "Prompt", "lastPrompt", "customTitle", "query", "question", "answer", "body", "request", "arguments"),
    *("tool_calls", "toolCalls", "messages", "content", "response", "attachment", "headers", "completion", "text"),
    *("input", "output", "choices", "system", "instructions", "transcript", "snippet", "title", "description"),
    *("summary", "thinking", "user-message", "PROMPT_TEXT", "toolUseResult", "generated_text", "chat_history"),
)


@pytest.mark.parametrize("keep_content", [False, True])
def test_previews_land_only_when_content_is_kept(keep_content: bool) -> None:
    line = tokenledger("e", request_preview=SECRET, response_preview=SECRET)
    (event,) = landed(line, keep=Keep(keep_content))
    expected = SECRET if keep_content else None
    assert (event["request_preview"], event["response_preview"], event["extra"]) == (expected, expected, None)


def test_the_replies_of_claude_code_are_not_in_extra_unless_they_are_kept() -> None:
    usage = {
        "input_tokens": 1,
        "output_tokens": 2,
        "cache_creation": {"ephemeral_5m_input_tokens": 0, "1d": 5},
    }
    usage |= {"output_tokens_details": {"thinking_tokens": 1, "tool_tokens": 4}, "speed": "standard"}
    usage["server_tool_use"] = {"web_search_requests": 1, "web_fetch_requests": 3}
    reply = [{"type": "text", "text": SECRET}]
    message = {
        "id": "m",
        "role": "assistant",
        "model": "claude-sonnet-4-5",
        "content": reply,
        "stop_reason": "end_turn",
    }
    line = {"type": "assistant", "uuid": "u", "sessionId": "s", "timestamp": "2026-10-01T12:00:00Z"}
    line |= {
        "message": {**message, "usage": usage},
        "toolUseResult": {"stdout": SECRET},
        "isSidechain": False,
    }
    (event,) = landed(line, format_="claude_code")
    assert SECRET not in str(event)
    assert json.loads(event["extra"]) == {
        **{"uuid": "u", "isSidechain": False, "message.stop_reason": "end_turn"},
        **{"message.usage.cache_creation.1d": 5, "message.usage.output_tokens_details.tool_tokens": 4},
        "message.usage.server_tool_use.web_fetch_requests": 3,
    }
    unmapped = {"cache_creation": {"1d": 5}, "output_tokens_details": {"tool_tokens": 4}}
    unmapped["server_tool_use"] = {"web_fetch_requests": 3}
    kept = {"uuid": "u", "isSidechain": False, "message": {"stop_reason": "end_turn", "usage": unmapped}}
    (event,) = landed(line, format_="claude_code", keep=Keep(content=True))
    kept["message"]["content"] = reply
    assert json.loads(event["extra"]) == {**kept, "toolUseResult": {"stdout": SECRET}}


@pytest.mark.parametrize("place", ["extra", "metadata", "metadata as text", "tags of tokenmeter"])
def test_only_short_harmless_values_are_kept(place: str) -> None:
    kept: dict[str, Any] = {
        **{"customer": "ACME Corp", "at": "2026-10-01T12:00:00Z", "n": -1.5e-7, "big": 12345678901234567, "yes": True},
        **{"prompt_tokens": 5, "prompt_version": "v3", "request_id": "r1", "input_cost": "0.0225"},
        **{"max_tokens": 100, "context_window": "200k", "filesystem": "ext4", "k" * 200: "x" * 200, "Cost Center": "c"},
    }
    content = dict.fromkeys(CONTENT_KEYS, SECRET)
    credentials = dict.fromkeys(("Authorization", "x-api-key", "apiKey", "token", "client_secret", "Cookie"), "abc")
    credentials |= {"a": "Bearer abcd1234", "b": "sk-abcdefgh12", "c": "run with password=abcd"}
    credentials["d"] = "eyJhbGciOiJIUzI1.eyJzdWIi"
    other: dict[str, tuple[Any, str]] = {
        **{"long": ("x" * 201, "long text"), "lines": ("a\nb", "several lines"), "list": (["a"], "array")},
        **{"packed": (json.dumps({"prompt": SECRET}), "JSON in a text"), "repr": ("{'a': 1}", "JSON in a text")},
    }
    values = {"null": None, **kept, **content, **credentials, **{key: value for key, (value, _) in other.items()}}
    expected = {**kept, **{f"deep.er.{key}": value for key, value in kept.items()}}
    values["deep"] = {"er": dict(values), "empty": {}, "what did they ask, then?": 1}
    key = {"extra": "extra", "metadata": "tags"}.get(place, "tags")
    if place == "extra":
        result = parsed(GOOD, {**tokenledger("e"), **values})
    elif place == "tags of tokenmeter":
        line = {"timestamp": "2026-10-01T12:00:00", "model": "m"}
        result = parsed(line, {**line, "tags": values}, format_="tokenmeter")
    else:
        result = parsed(
            GOOD, tokenledger("e", metadata=values if place == "metadata" else json.dumps(values, indent=1))
        )
    assert json.loads(result.events[1][key]) == expected
    reasons = {**dict.fromkeys(content, "content key"), **dict.fromkeys(credentials, "credential")}
    reasons |= {name: reason for name, (_, reason) in other.items()}
    reasons |= {f"deep.er.{name}": reason for name, reason in reasons.items()}
    reasons["deep.(unusual key)"] = "unusual key"
    before = "" if place == "extra" else "tags."
    assert result.omitted == sorted((1, before + name, reason) for name, reason in reasons.items())


def test_content_lands_on_request_and_credentials_never() -> None:
    line = {**tokenledger("e", metadata={"prompt": SECRET}), "messages": [{"content": SECRET}], "answer": SECRET}
    line |= {"headers": {"Authorization": "Bearer abcd1234", "x-api-key": ["abcd"], "retries": 2}, "tokens": ["a"]}
    (event,) = parsed(line).events
    assert (event["extra"], event["tags"]) == (None, None)
    result = parsed(line, keep=Keep(keys=("ANSWER", "tags.prompt", "headers")))
    headers = {"Authorization": None, "x-api-key": None, "retries": 2}
    assert json.loads(result.events[0]["extra"]) == {"answer": SECRET, "headers": headers}
    assert json.loads(result.events[0]["tags"]) == {"prompt": SECRET}
    assert result.omitted == [
        *((0, "headers", "credential"), (0, "messages", "content key"), (0, "tokens", "array")),
    ]
    result = parsed(line, keep=Keep(content=True))
    extra = json.loads(result.events[0]["extra"])
    assert (extra["answer"], extra["messages"], extra["headers"]) == (SECRET, [{"content": SECRET}], headers)


PASSWORD = "hunter22hunter22"
LEFT_OUT_KEYS: dict[str, tuple[str, ...]] = {
    "credential": (
        *("auth", "auth.pass", "pass", "db_pass", "userPass", "creds", "X-Auth", "basic_auth", "OPENAI_KEY", "otp"),
        *("ocp-apim-subscription-key", "anthropic_key", "account_key", "AccountKey", "encryption_key", "client_key"),
        *("signature", "hmac", "signed_url", "x_csrf", "pin", "sas", "sessionid", "PHPSESSID"),
    ),
    "content key": (
        *("msg", "q", "ask", "userinput", "generation", "generated", "command", "stdin", "diff", "patch", "search"),
        *("said", "prompt_name", "prompt_text_length", "message_type", "prompt_state", "content_source"),
    ),
    "unusual key": ("\uff50\uff52\uff4f\uff4d\uff50\uff54", "\u0440rompt"),
}
CREDENTIAL_TEXTS = [
    *(f"redis://:{PASSWORD}@host", f"postgres://:{PASSWORD}@h/db", f"Server=h;Uid=u;Pwd={PASSWORD};"),
    *(f"https://x.test/?{key}={PASSWORD}" for key in ("sig", "a=b&X-Amz-Signature", "key", "api_key", "access_token")),
    *("Basic dXNlcjpwYXNz", "Basic YTpi+/Yx=", f'Digest username="a", response="{PASSWORD}"'),
    f"https://hooks.slack.com/services/T00/B00/{PASSWORD}",
    *(f"{prefix}{PASSWORD}" for prefix in ("gsk_", "xai-", "pplx-", "r8_", "nvapi-", "npm_", "SG.", "whsec_")),
    *(f"{prefix}{PASSWORD}" for prefix in ("dop_v1_", "pypi-Ag", "a line\nsk-")),
]


@pytest.mark.parametrize("deep", [False, True])
def test_keys_that_name_credentials_or_content_are_left_out(deep: bool) -> None:
    omitted = {key: reason for reason, keys in LEFT_OUT_KEYS.items() for key in keys}
    # the second object is not plain, so that both ways of reading objects are tested
    for more in ({}, {"\u00fc": "\u00fc"}):
        lines = [tokenledger("e", metadata={"a": {key: SECRET}} if deep else {key: SECRET, **more}) for key in omitted]
        result = parsed(*lines)
        assert [event["tags"] for event in result.events] == [
            None if deep or not more else '{"\u00fc":"\u00fc"}' for _ in omitted
        ]
        assert [reason for _, _, reason in result.omitted] == list(omitted.values())


def test_credentials_never_land_even_if_content_is_kept() -> None:
    named = [{key: PASSWORD} for key in LEFT_OUT_KEYS["credential"]]
    values = [*named, *({"list": [value]} for value in named), *({"k": text} for text in CREDENTIAL_TEXTS)]
    lines = [tokenledger("e", metadata=value) for value in values]
    for keep in (Keep(), Keep(content=True)):
        result = parsed(*lines, keep=keep)
        kept = [value for value, event in zip(values, result.events, strict=True) if PASSWORD in str(event["tags"])]
        assert kept == []
        assert {line for line, _, _ in result.omitted} == set(range(len(values)))


@pytest.mark.parametrize("text", CREDENTIAL_TEXTS)
def test_mapped_texts_land_without_credentials(text: str) -> None:
    names = ("endpoint", "page", "error_type", "error_message", "feature", "component", "user_id")
    (event,) = landed(tokenledger("e", **dict.fromkeys(names, f"see {text}")))
    for name in names:
        assert "(credential)" in event[name]
        assert PASSWORD not in event[name] and "dXNlcjpwYXNz" not in event[name]


def test_a_credential_that_was_replaced_in_a_mapped_text_is_counted() -> None:
    result = parsed(tokenledger("e1"), tokenledger("e2", error_message="Bearer abcdef12345", feature="sk-1234567890"))
    assert sorted(result.omitted) == [(1, "error_message", "credential"), (1, "feature", "credential")]


def test_names_that_only_begin_like_credentials_are_kept() -> None:
    names = ("portal-sk-frontend", "portal-sk-backend-2", "hf_inference_api", "team/gho_service_accounts/2026")
    for name, event in zip(names, landed(*(tokenledger("e", project=name) for name in names)), strict=True):
        assert event["project"] == name


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ({"tokenizer": "cl100k", "token_type": "bpe", "secretary": "Bob"}, True),
        ({"customer": "[ACME]", "choice_index": "3", "choiceIndex": 3}, True),
        ({"prompt_name": "triage-v2", "message_type": "user", "cache_key": "k1", "auth_method": "sso"}, True),
        ({"pass_rate": 0.9, "commit": "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3", "session_id": "s1"}, True),
        ({"prompt": "2+2"}, False),
        ({"message": "+4915112345678"}, False),
        ({"prompt": "Eee"}, False),
        ({"list": '["ACME"]'}, False),
        ({"customer": "[1]"}, False),
        ({"data": base64.b64encode(SECRET.encode() * 3).decode()}, False),
        ({"prompt_tokens_details": {"note_for": "word", "prompt_id": "word"}}, False),
        ({"request_id": {"x": "word"}}, False),
        ({"number": 1e300}, True),
    ],
    ids=str,
)
def test_a_value_is_kept_or_left_out_in_plain_and_other_objects(value: dict[str, Any], kept: bool) -> None:
    other = {"\u00fc": "\u00fc"}
    plain, not_plain = landed(tokenledger("e", metadata=value), tokenledger("e", metadata=value | other))
    assert json.loads(plain["tags"] or "{}") == (value if kept else {})
    assert json.loads(not_plain["tags"]) == (value | other if kept else other)


def test_more_shapes_and_keys_than_the_cache_holds_are_read_correctly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tokenmart.unmapped.REMEMBERED", 2)
    tags = [{"a": "x"}, {"b": 1}, {"c": True, "d": {"e": "y"}}, {"prompt": "p"}]
    for shown in (tags[:3], tags, tags[::-1]):
        # the same Parser each time, used by no other test
        events = landed(*(tokenledger("e", metadata=tag) for tag in shown), keep=Keep(keys=("remembered",)))
        kept = {"a": {"a": "x"}, "b": {"b": 1}, "c": {"c": True, "d.e": "y"}, "prompt": {}}
        assert [json.loads(event["tags"] or "{}") for event in events] == [kept[next(iter(tag))] for tag in shown]


def test_numbers_of_token_details_are_kept() -> None:
    (event,) = landed(tokenledger("e", metadata={"prompt_tokens_details": {"audio_tokens": 0, "x": "word"}}))
    assert json.loads(event["tags"]) == {"prompt_tokens_details.audio_tokens": 0}


@pytest.mark.parametrize(
    "line",
    [
        as_line({**tokenledger("e"), **{f"k{i}": i for i in range(2_000)}, "zz": {"prompt": "p"}}),
        as_line(
            {**tokenledger("e"), **{f"k{i}": i for i in range(20)}, "zz": {f"m{i}": "x" * 90 for i in range(1_000)}}
        ),
        GOOD[:-1] + b', "zz": ' + b"[" * 1_000_000 + b"}",
        GOOD[:-1] + b', "zz": ' + b'{"a":' * 1_000_000 + b"}",
    ],
    ids=["2,000 keys", "100 kB with an object of messages", "brackets", "braces"],
)
def test_a_large_line_does_not_keep_others_from_landing(line: bytes) -> None:
    result = parsed(GOOD, *[line] * 200 if len(line) < 200_000 else [line], GOOD)
    assert [event["event_id"] for event in result.events][:: len(result.events) - 1] == ["good", "good"]
    if len(line) > 200_000:
        assert [(row["line_id"], row["reason"]) for row in result.rejected] == [(1, "not JSON")]
    else:
        assert len(result.events) == 202 and result.rejected == []


def test_only_lines_that_take_too_much_memory_are_rejected(monkeypatch: pytest.MonkeyPatch) -> None:
    used, query = Parser(), Parser.run
    heavy = GOOD.replace(b"good", b"heavy")

    def run(self: Parser, sql: str, params: Any = None, **columns: Any) -> pa.Table:
        if "line" in columns and heavy.decode() in columns["line"].to_pylist():
            raise duckdb.OutOfMemoryException("failed to allocate")
        return query(self, sql, params, **columns)

    monkeypatch.setattr(Parser, "run", run)
    lines = [heavy if number in (0, 7, 8) else with_raw(user_id=f'"{number}"', cost_usd="-1") for number in range(11)]
    table = pa.chunked_array([pa.array(lines, pa.large_binary())])
    result = parse(table, pa.chunked_array([pa.repeat(False, 11)]), used.format("tokenledger"), used)
    landed_ids = [1, 2, 3, 4, 5, 6, 9, 10]
    assert result.events["line_id"].to_pylist() == result.omitted["line_id"].to_pylist() == landed_ids
    assert result.events["user_id"].to_pylist() == [str(number) for number in landed_ids]
    reason = "parsing it takes more than 512MB of memory"
    assert [(row["line_id"], row["reason"], row["line"]) for row in result.rejected.to_pylist()] == [
        (number, reason, heavy.decode()) for number in (0, 7, 8)
    ]
    assert best(counts(used, [heavy.decode(), GOOD.decode()])) == "tokenledger"


def test_keys_are_case_sensitive() -> None:
    (event,) = landed({**tokenledger("e"), "Model": "other", "MODEL": "another"})
    assert event["model"] == "gpt-4o-mini-2024-07-18"
    assert json.loads(event["extra"]) == {"Model": "other", "MODEL": "another"}


def test_a_line_too_long_for_extra_lands_with_its_length(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "LONGEST_KEPT_IN_EXTRA", 1000)
    used = Parser()
    short = as_line({**tokenledger("short"), "other": 1})
    lines = [short + b" " * (size - len(short)) for size in (1000, 1001)]
    table = pa.chunked_array([pa.array(lines, pa.large_binary())])
    result = parse(table, pa.chunked_array([pa.array([False, False])]), used.format("tokenledger"), used)
    fits, too_long = [json.loads(extra) for extra in result.events["extra"].to_pylist()]
    assert fits == {"other": 1}
    assert too_long == {"too_long_for_extra": 1001}


def test_a_line_of_nine_megabytes_lands() -> None:
    (event,) = landed({**tokenledger("e"), "other": "x" * (9 << 20)})
    assert json.loads(event["extra"]).keys() == {"too_long_for_extra"}


@pytest.mark.parametrize("column", ["event_id", "user_id"])
def test_ids_that_are_too_long_for_an_index_are_rejected(column: str) -> None:
    (event,) = landed(tokenledger(**{"event_id": "e", column: "é" * 1_000}))
    assert event[column] == "é" * 1_000
    result = parsed(tokenledger(**{"event_id": "e", column: "é" * 1_000 + "x"}))
    assert [row["reason"] for row in result.rejected] == [f"{column} is longer than 2,000 bytes"]
