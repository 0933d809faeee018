"""Options that fill what lines do not have: values for a whole load, and the time of lines without one."""

import datetime as dt
import os

import pytest

from conftest import Mart, tokenledger
from parsing import Line

UNDATED = """-- Lines without a time.
create type event as struct(id varchar, model varchar);
select line_id, event.id as event_id, event.model, extra from events
"""


def undated(event_id: str) -> Line:
    """A TokenLedger event without a timestamp."""
    event = tokenledger(event_id)
    del event["timestamp"]
    return event


def times(mart: Mart) -> list[tuple[str, str, str | None]]:
    """The id, time in UTC and time basis of each event."""
    return mart.query(
        "select event_id, strftime(occurred_at, '%Y-%m-%d %H:%M:%S'), time_basis from raw_usage.events order by 1"
    )


def test_set_fills_what_lines_leave_empty(mart: Mart) -> None:
    lines = [
        tokenledger("none", user_id=None),
        tokenledger("empty", user_id=""),
        tokenledger("own", user_id="bob", team="ml"),
    ]
    mart.run("load", mart.write("a.jsonl", *lines), "--set", "user_id=it's ada", "--set", "team=search")
    assert mart.query("select event_id, user_id, team from raw_usage.events order by 1") == [
        ("empty", "it's ada", "search"),
        ("none", "it's ada", "search"),
        ("own", "bob", "ml"),
    ]


def test_set_fills_a_column_that_the_format_does_not_have(mart: Mart) -> None:
    line = {"ts": 1793525400000, "session": "s", "input_tokens": 1, "output_tokens": 1, "cost_usd_micros": 1}
    mart.run("load", mart.write("a.jsonl", {**line, "cache_tokens": 0}), "--set", "model=small")
    assert mart.query("select session_id, model from raw_usage.events") == [("s", "small")]


def test_a_variable_sets_values_too(mart: Mart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENMART_SET", "user_id=ada team=search")
    mart.run("load", mart.write("a.jsonl", tokenledger("a", user_id=None)))
    assert mart.query("select user_id, team from raw_usage.events") == [("ada", "search")]


@pytest.mark.parametrize(
    ("pair", "why"),
    [
        ("user_id", "user_id is not COLUMN=VALUE"),
        ("user_id=", "user_id= is not COLUMN=VALUE"),
        ("event_id=1", "event_id cannot be set; use one of provider, model,"),
        ("usr_id=ada", "usr_id cannot be set"),
    ],
)
def test_wrong_values_of_set_are_refused(mart: Mart, pair: str, why: str) -> None:
    output = mart.run("load", mart.write("a.jsonl", tokenledger("a")), "--set", pair, code=2).output
    assert why in " ".join(output.split())


def test_lines_without_a_time_are_rejected_unless_it_is_given(mart: Mart) -> None:
    path = mart.write("a.jsonl", tokenledger("dated", "2026-10-02T10:00:00Z"), undated("undated"))
    assert "no timestamp" in mart.run("load", path, code=3).output
    mart.run("load", path, "--again", "--occurred-at", "2026-11-01T09:30", "--timezone", "Asia/Kolkata")
    # the load without the option has landed the line with a time too
    assert times(mart) == [
        ("dated", "2026-10-02 10:00:00", None),
        ("dated", "2026-10-02 10:00:00", None),
        ("undated", "2026-11-01 04:00:00", "given"),
    ]


def test_lines_can_have_the_time_of_their_file(mart: Mart) -> None:
    paths = [mart.write(f"{name}.jsonl", tokenledger("dated"), undated(name)) for name in ("a", "b")]
    for number, path in enumerate(paths):
        changed = dt.datetime(2026, 11, 1 + number, 9, 30, tzinfo=dt.UTC).timestamp()
        os.utime(path, (changed, changed))
    mart.run("load", *paths, "--occurred-at", "file")
    assert times(mart)[:2] == [("a", "2026-11-01 09:30:00", "file"), ("b", "2026-11-02 09:30:00", "file")]


def test_lines_of_a_format_without_times_have_the_time_of_their_file(mart: Mart) -> None:
    script = mart.folder / "undated.sql"
    script.write_text(UNDATED)
    path = mart.write("a.jsonl", {"id": "a", "model": "small"})
    changed = dt.datetime(2026, 11, 1, 9, 30, tzinfo=dt.UTC).timestamp()
    os.utime(path, (changed, changed))
    mart.run("load", path, "--format", script)
    assert times(mart) == [("a", "2026-11-01 09:30:00", "file")]


def test_lines_of_standard_input_have_the_time_of_the_load(mart: Mart) -> None:
    script = mart.folder / "undated.sql"
    script.write_text(UNDATED)
    mart.run("load", "-", "--format", script, stdin=b'{"id": "a", "model": "small"}\n')
    assert mart.query("select occurred_at = loaded_at, time_basis from raw_usage.events") == [(True, "load")]


def test_a_time_that_is_none_is_refused(mart: Mart) -> None:
    output = mart.run("load", mart.write("a.jsonl", undated("a")), "--occurred-at", "soon", code=2).output
    assert "--occurred-at is soon, which is not a time." in output
