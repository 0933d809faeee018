"""Samples have the same bytes for the same arguments, and resemble real logs."""

import datetime
import functools
import hashlib
import json
from collections import Counter, defaultdict
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tokenmart import sample
from tokenmart.errors import UsageError

EVENTS, DAYS = 20_000, 40
TOKENLEDGER_KEYS = (
    "event_id trace_id span_id parent_span_id timestamp duration_ms provider model input_tokens "
    "output_tokens total_tokens cached_tokens cost_usd endpoint request_type user_id session_id "
    "organization_id app_name environment status error_type error_message metadata request_preview "
    "response_preview feature page component team project cost_center metadata_extra"
)
TOKENMETER_KEYS = (
    "id timestamp provider model input_tokens output_tokens cache_read_tokens cache_write_tokens input_cost "
    "output_cost total_cost session_id user_id tags is_estimate water_ml energy_wh"
)
CTM_TOTALS = ["input_tokens", "output_tokens", "cache_tokens", "cost_usd_micros"]

# USD per million tokens, from the providers' price lists: input, cache read, cache write, output
PRICES = {
    "claude-sonnet-4-5-20250929": ("3", "0.30", "3.75", "15"),
    "claude-haiku-4-5-20251001": ("1", "0.10", "1.25", "5"),
    "claude-opus-4-5-20251101": ("5", "0.50", "6.25", "25"),
    "gpt-5-2025-08-07": ("1.25", "0.125", "0", "10"),
    "gemini-2.5-pro": ("1.25", "0.125", "0", "10"),
    "gpt-4o-2024-08-06": ("2.50", "1.25", "0", "10"),
    "gpt-4o-mini-2024-07-18": ("0.15", "0.075", "0", "0.60"),
    "gemini-2.5-flash": ("0.30", "0.03", "0", "2.50"),
    "mistral-large-latest": ("2", "0", "0", "6"),
    "text-embedding-3-small": ("0.02", "0", "0", "0"),
}

Lines = list[dict[str, Any]]


def written(folder: Path, format_: str, *, events: int = 600, days: int = 20, seed: int = 1) -> dict[str, bytes]:
    """The bytes of a sample's files by their path below `folder`."""
    paths = sample.write_sample(folder, events=events, days=days, seed=seed, formats=[format_])
    assert sorted(paths) == paths == sorted(path for path in folder.rglob("[!.]*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def lines_of(content: bytes) -> Lines:
    assert content.endswith(b"\n")
    return [json.loads(line) for line in content.splitlines()]


@pytest.fixture(scope="module")
def tokenledger(tmp_path_factory: pytest.TempPathFactory) -> Lines:
    """A sample's lines in the order of writing."""
    folder = tmp_path_factory.mktemp("sample")
    files = written(folder, "tokenledger", events=EVENTS, days=DAYS)
    assert list(files) == ["tokenledger/2026-09.jsonl", "tokenledger/2026-10.jsonl"]
    return [line for content in files.values() for line in lines_of(content)]


@pytest.fixture(scope="module")
def claude_code(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Lines]:
    """A sample's lines by file."""
    files = written(tmp_path_factory.mktemp("sample"), "claude_code", events=2000)
    return {path: lines_of(content) for path, content in files.items()}


def final_snapshots(lines: Lines) -> Lines:
    return list({line["event_id"]: line for line in lines}.values())


def share(lines: Lines, key: str, value: object) -> float:
    return len([line for line in lines if line[key] == value]) / len(lines)


@pytest.mark.parametrize("format_", sample.FORMATS)
def test_the_same_seed_gives_the_same_bytes(format_: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = written(tmp_path / "first", format_)
    assert written(tmp_path / "again", format_) == first
    connect = duckdb.connect
    for threads in (1, 2):
        monkeypatch.setattr(duckdb, "connect", functools.partial(connect, config={"threads": threads}))
        assert written(tmp_path / f"threads-{threads}", format_) == first
    monkeypatch.setattr(sample, "SESSIONS_PER_CHUNK", 4)
    assert written(tmp_path / "chunks", format_) == first
    other = written(tmp_path / "other", format_, seed=2)
    assert set(other.values()).isdisjoint(first.values())


def test_the_bytes_are_the_same_on_every_machine_and_version(tmp_path: Path) -> None:
    digest = hashlib.sha256()
    for path in sample.write_sample(tmp_path, events=60, days=5, seed=1, formats=sample.FORMATS):
        digest.update(path.relative_to(tmp_path).as_posix().encode() + path.read_bytes())
    assert digest.hexdigest() == "160cfb8012f4df9d3452e582d56df2f9f9f4ca1e7557886e6fe44661f064e974"


@pytest.mark.parametrize("format_", sample.FORMATS)
@pytest.mark.parametrize("events", [1, 13])
def test_a_sample_may_be_tiny(format_: str, events: int, tmp_path: Path) -> None:
    files = written(tmp_path, format_, events=events, days=1)
    assert sum(map(len, map(lines_of, files.values()))) >= events


def test_formats_do_not_share_ids(tmp_path: Path) -> None:
    paths = sample.write_sample(tmp_path, events=50, days=5, seed=1, formats=["tokenledger", "tokenmeter"])
    meter, ledger = sorted((lines_of(path.read_bytes()) for path in paths), key=lambda lines: "id" not in lines[0])
    assert {line["id"] for line in meter}.isdisjoint(line["event_id"] for line in ledger)


def test_tokenledger_lines_have_all_keys_in_order(tokenledger: Lines) -> None:
    assert {" ".join(line) for line in tokenledger} == {TOKENLEDGER_KEYS}


def test_tokenledger_has_the_requested_number_of_events_and_days(tokenledger: Lines) -> None:
    events = final_snapshots(tokenledger)
    assert len(events) == EVENTS
    dates = Counter(line["timestamp"][:10] for line in events)
    assert len(dates) == DAYS and min(dates) == "2026-09-22" and max(dates) == "2026-10-31"
    assert dates["2026-10-28"] > 2 * dates["2026-10-25"] > 0, "a Wednesday has more events than the Sunday before it"
    hours = Counter(line["timestamp"][11:13] for line in events)
    assert hours["10"] > 5 * hours["03"] > 0


def test_tokenledger_outcomes_occur_as_often_as_in_real_logs(tokenledger: Lines) -> None:
    events = final_snapshots(tokenledger)
    assert 0.02 < share(events, "status", "error") < 0.04
    assert 0.006 < share(events, "status", "timeout") < 0.014
    assert 0.01 < share(events, "user_id", None) < 0.035
    assert 0.005 < share(events, "duration_ms", None) < 0.015
    assert 0.02 < share(events, "provider", "acme") < 0.04
    assert len({line["model"] for line in events}) == 11
    successes = [line for line in events if line["status"] == "success"]
    assert 0.002 < share(successes, "input_tokens", None) < 0.008
    known = [line for line in successes if line["provider"] != "acme" and line["input_tokens"] is not None]
    assert 0.08 < share(known, "cost_usd", None) < 0.12
    assert {line["error_type"] for line in successes} == {None}


def test_tokenledger_failed_calls_have_a_reason_no_cost_and_no_tokens(tokenledger: Lines) -> None:
    failed = [line for line in tokenledger if line["status"] != "success"]
    assert all(line["error_type"] and line["error_message"] for line in failed)
    assert all(line["cost_usd"] is None for line in failed)
    assert {line["total_tokens"] for line in failed} == {None, 0}
    assert len({line["error_type"] for line in failed if line["status"] == "error"}) == 4
    timeouts = [line["duration_ms"] for line in failed if line["status"] == "timeout" and line["duration_ms"]]
    assert timeouts and all(59_000 < duration < 61_000 for duration in timeouts)


def test_tokenledger_snapshots_grow(tokenledger: Lines) -> None:
    by_event = defaultdict(list)
    for line in tokenledger:
        by_event[line["event_id"]].append(line)
    streamed = [snapshots for snapshots in by_event.values() if len(snapshots) > 1]
    assert 0.005 < len(streamed) / EVENTS < 0.02
    assert {len(snapshots) for snapshots in streamed} == {2, 3}
    for snapshots in streamed:
        tokens = [line["output_tokens"] for line in snapshots]
        assert sorted(tokens) == tokens and tokens[0] < tokens[-1]
        assert len({line["timestamp"] for line in snapshots}) == 1
        assert all(line["total_tokens"] == line["input_tokens"] + line["output_tokens"] for line in snapshots)


def test_tokenledger_lines_are_in_time_order_except_for_late_ones(tokenledger: Lines) -> None:
    times = [datetime.datetime.fromisoformat(line["timestamp"]) for line in final_snapshots(tokenledger)]
    newest, delays = times[0], []
    for time in times:
        newest = max(newest, time)
        delays.append(newest - time)
    late = [delay for delay in delays if delay > datetime.timedelta(hours=1)]
    assert 0.002 < len(late) / EVENTS < 0.01
    assert datetime.timedelta(days=5) < max(late) < datetime.timedelta(days=10)
    assert all(delay < datetime.timedelta(seconds=1) for delay in delays if delay not in late)


def test_tokenledger_sessions_belong_to_one_user_and_last_minutes(tokenledger: Lines) -> None:
    sessions = defaultdict(list)
    for line in tokenledger:
        sessions[line["session_id"]].append(line)
    assert sessions.pop(None)
    assert max(map(len, sessions.values())) > 4
    for lines in sessions.values():
        assert len({(line["user_id"], line["organization_id"], line["app_name"]) for line in lines}) == 1
        times = sorted(datetime.datetime.fromisoformat(line["timestamp"]) for line in lines)
        assert times[-1] - times[0] < datetime.timedelta(minutes=40)
    users = Counter(line["user_id"] for line in tokenledger)
    assert len(users) > 30
    assert users.most_common(1)[0][1] > EVENTS / 20


def test_tokenledger_costs_are_list_prices_written_as_python_floats(tmp_path: Path) -> None:
    (content,) = written(tmp_path, "tokenledger", events=3000).values()
    noisy = 0
    for text in content.splitlines():
        line = json.loads(text, parse_float=str)
        if line["cost_usd"] is None:
            continue
        assert repr(float(line["cost_usd"])) == line["cost_usd"]
        noisy += len(line["cost_usd"]) > 16
        uncached = line["input_tokens"] - (line["cached_tokens"] if line["provider"] != "anthropic" else 0)
        price, cached_price, _, output_price = map(float, PRICES[line["model"]])
        cost = uncached * price + line["cached_tokens"] * cached_price + line["output_tokens"] * output_price
        assert float(line["cost_usd"]) == pytest.approx(cost / 1e6)
    assert noisy


def test_claude_code_has_the_requested_number_of_requests(claude_code: dict[str, Lines]) -> None:
    requests, synthetic, others = set(), 0, Counter[str]()
    for path, lines in claude_code.items():
        format_, project, session = path.removesuffix(".jsonl").split("/")
        assert format_ == "claude_code"
        for line in lines:
            if line["type"] != "summary":
                assert (line["sessionId"], line["cwd"].replace("/", "-")) == (session, project)
            if line["type"] != "assistant":
                assert "usage" not in line.get("message", {})
                others[line["type"]] += 1
            elif line["message"]["model"] == "<synthetic>":
                synthetic += 1
            else:
                requests.add((line["message"]["id"], line["requestId"]))
    assert len(requests) == 2000
    assert 0 < synthetic < 200
    assert set(others) == {"summary", "user", "system"}


def test_claude_code_snapshots_grow_and_caches_are_read_after_they_are_written(
    claude_code: dict[str, Lines],
) -> None:
    lifetimes, counts = Counter[str](), Counter[int]()
    for lines in claude_code.values():
        snapshots = defaultdict(list)
        for line in lines:
            if line["type"] == "assistant" and line["message"]["model"] != "<synthetic>":
                snapshots[line["message"]["id"]].append(line["message"]["usage"])
        written_before = 0
        for usages in snapshots.values():
            tokens = [usage["output_tokens"] for usage in usages]
            assert sorted(tokens) == tokens and (len(tokens) == 1 or tokens[0] < tokens[-1])
            counts[len(tokens)] += 1
            final = usages[-1]
            assert final["cache_read_input_tokens"] == written_before
            written_before += final["cache_creation_input_tokens"]
            assert sum(final["cache_creation"].values()) == final["cache_creation_input_tokens"]
            lifetimes.update(name for name, count in final["cache_creation"].items() if count)
            assert final["output_tokens_details"]["thinking_tokens"] <= final["output_tokens"]
    assert set(counts) == {1, 2, 3}
    assert set(lifetimes) == {"ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"}


def test_tokenmeter_costs_are_exactly_the_list_prices(tmp_path: Path) -> None:
    (content,) = written(tmp_path, "tokenmeter").values()
    lines = lines_of(content)
    assert len({line["id"] for line in lines}) == len(lines) == 600
    million = Decimal(1_000_000)
    for line in lines:
        assert " ".join(line) == TOKENMETER_KEYS
        read, write = line["cache_read_tokens"], line["cache_write_tokens"]
        uncached = line["input_tokens"] if line["provider"] == "anthropic" else line["input_tokens"] - read
        price, read_price, write_price, output_price = map(Decimal, PRICES[line["model"]])
        assert Decimal(line["input_cost"]) == uncached * price / million
        assert Decimal(line["output_cost"]) == line["output_tokens"] * output_price / million
        assert (
            Decimal(line["total_cost"])
            == (uncached * price + read * read_price + write * write_price + line["output_tokens"] * output_price)
            / million
        )
        assert Decimal(line["water_ml"]) == 2 * Decimal(line["energy_wh"]) > 0
        assert datetime.datetime.fromisoformat(line["timestamp"]).tzinfo is None
    assert any(line["cache_write_tokens"] for line in lines)
    assert any(line["is_estimate"] for line in lines) and any(line["user_id"] is None for line in lines)
    assert {tuple(line["tags"]) for line in lines} == {("team", "cost_center"), ()}


def test_ctm_totals_never_decrease_and_sometimes_repeat(tmp_path: Path) -> None:
    (content,) = written(tmp_path, "ctm").values()
    lines = lines_of(content)
    assert len(lines) == 600
    assert all(list(line) == ["ts", "session", *CTM_TOTALS] for line in lines)
    assert [line["ts"] for line in lines] == sorted(line["ts"] for line in lines)
    sessions = defaultdict(list)
    for line in lines:
        sessions[line["session"]].append([line[key] for key in CTM_TOTALS])
    steps = [step for totals in sessions.values() for step in pairwise(totals)]
    assert all(low <= high for before, after in steps for low, high in zip(before, after, strict=True))
    assert 0 < sum(before == after for before, after in steps) < len(steps) / 4
    for totals in sessions.values():
        assert totals[0][3] == int(3 * totals[0][0] + 15 * totals[0][1] + Decimal("0.3") * totals[0][2])


def test_a_sample_ends_on_the_given_day(tmp_path: Path) -> None:
    leap_day = datetime.date(2024, 2, 29)
    formats = ["tokenledger", "tokenmeter"]
    ledger, meter = sample.write_sample(tmp_path, events=20_000, days=2, seed=1, formats=formats, end=leap_day)
    assert ledger == tmp_path / "tokenledger" / "2024-02.jsonl"
    for path in (ledger, meter):
        dates = {line["timestamp"][:10] for line in lines_of(path.read_bytes())}
        assert dates == {"2024-02-28", "2024-02-29"}


def test_invalid_arguments_are_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no sample for the format 'csv'"):
        sample.write_sample(tmp_path, events=1, days=1, seed=1, formats=["ctm", "csv"])
    for events, days in ((0, 1), (1, 0)):
        with pytest.raises(UsageError, match="at least one event and one day"):
            sample.write_sample(tmp_path, events=events, days=days, seed=1)
    assert not list(tmp_path.iterdir())
    sample.write_sample(tmp_path, events=1, days=1, seed=1)
    with pytest.raises(UsageError, match="tokenledger is not empty"):
        sample.write_sample(tmp_path, events=1, days=1, seed=1, formats=["ctm", "tokenledger"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tokenledger"]


def test_a_sample_marks_its_files_and_no_others(tmp_path: Path) -> None:
    sample.write_sample(tmp_path, events=1, days=1, seed=1)
    # files that are added next to them later are not samples
    assert not (tmp_path / ".sample").exists() and (tmp_path / "tokenledger/.sample").exists()
