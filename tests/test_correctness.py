"""Cases that other tools get wrong, loaded and built with the command."""

import datetime as dt
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from conftest import Mart, tokenledger
from marts import TABLES, Row, Tables, by_day, one, run, tables, total, values

DAYS = [dt.date(2026, 9, 24) + dt.timedelta(days) for days in range(12)]
LATE_DAY, TIED_DAY = dt.date(2026, 9, 26), dt.date(2026, 10, 9)
TOTALS, TOTALS_WITHOUT_SESSION = ([dt.date(2026, 10, day) for day in days] for days in ((6, 7, 8), (16, 17, 18)))
TIED_TEAMS = ("care", "data")
OWN_FORMAT = """
select
    line_id,
    line ->> '$.at' as occurred_at,
    line ->> '$.session' as session_id,
    line -> '$.output' as output_tokens,
    line -> '$.reasoning' as reasoning_tokens,
    true as is_running_total
from lines
"""
PRICED_FORMAT = """
create macro recognizes(line) as json_exists(line, '$.tier');

select
    line_id,
    line ->> '$.id' as event_id,
    line ->> '$.at' as occurred_at,
    line ->> '$.provider' as provider,
    line ->> '$.model' as model,
    line ->> '$.tier' as service_tier,
    line -> '$.tokens' as input_tokens,
    line -> '$.cached' as cache_read_tokens,
    line -> '$.output' as output_tokens
from lines
"""
NOON, MILLION = "2026-11-01T12:00:00Z", 1_000_000
PRICED: list[tuple[str | None, str, str | None, str, int, int, int, str | None]] = [
    # 1,000 x 30 + 1,000 x 150 per million in fast mode, 1,000 x 5 + 1,000 x 25 otherwise
    ("anthropic", "claude-opus-4-6", "fast", NOON, 1_000, 0, 1_000, "0.18"),
    ("anthropic", "claude-opus-4-6", "standard", NOON, 1_000, 0, 1_000, "0.03"),
    # 270,540 x 5 + 7,936 x 0.50 + 1,000 x 22.50; 272,000 x 2.50; 272,001 x 5
    ("openai", "gpt-5.4", None, NOON, 278_476, 7_936, 1_000, "1.379168"),
    ("openai", "gpt-5.4", None, NOON, 272_000, 0, 0, "0.68"),
    ("openai", "gpt-5.4", None, NOON, 272_001, 0, 0, "1.360005"),
    # 1.00 in batches; asked for flex, but the answer says default: 2.00
    ("openai", "o3", "batch", NOON, MILLION, 0, 0, "1"),
    ("openai", "o3", "default", NOON, MILLION, 0, 0, "2"),
    # 0.27 from 00:30 to 16:30 UTC, otherwise 0.135
    ("deepseek", "deepseek-chat", None, "2026-11-01T08:30:00+08:00", MILLION, 0, 0, "0.27"),
    ("deepseek", "deepseek-chat", None, "2026-11-01T16:29:59.999Z", MILLION, 0, 0, "0.27"),
    ("deepseek", "deepseek-chat", None, "2026-11-01T16:30:00Z", MILLION, 0, 0, "0.135"),
    ("deepseek", "deepseek-chat", None, "2026-11-01T00:29:59.999Z", MILLION, 0, 0, "0.135"),
    # a model of your own, unlike the same name without a provider
    ("ollama", "deepseek-r1:8b", None, NOON, 1_000, 0, 1_000, None),
    # free
    ("openrouter", "gemini-2.5-pro-exp-03-25", None, NOON, 1_000, 0, 1_000, "0"),
    ("openrouter", "deepseek/deepseek-r1:free", None, NOON, 1_000, 0, 1_000, "0"),
    # 1,000 x 3 + 1,000 x 15, and 14 per 1,000 requests
    ("perplexity", "sonar-pro", None, NOON, 1_000, 0, 1_000, "0.032"),
    # 100,000 x 3 worldwide, and a tenth more in a region
    ("bedrock", "global.anthropic.claude-sonnet-4-5-20250929-v1:0", None, NOON, 100_000, 0, 0, "0.3"),
    ("AWS.Bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", None, NOON, 100_000, 0, 0, "0.33"),
    ("amazon-bedrock", "anthropic.claude-sonnet-4-5-20250929-v1:0", None, NOON, 100_000, 0, 0, "0.33"),
    # 1M x 0.88
    ("together_ai", "meta-llama/Llama-3.3-70B-Instruct-Turbo", None, NOON, MILLION, 0, 0, "0.88"),
    # azure passes on the prices of xAI: 100,000 x 3; no provider: 100,000 x 3
    ("azure_openai", "grok-4-0709", None, NOON, 100_000, 0, 0, "0.3"),
    (None, "claude-sonnet-4-5-20250929", None, NOON, 100_000, 0, 0, "0.3"),
]


def claude_code(
    message_id: str, output: int, *, request_id: str | None = None, is_sidechain: bool = False, **usage: Any
) -> Row:
    """A Claude Code line with usage."""
    line = {
        "type": "assistant",
        "isSidechain": is_sidechain,
        "sessionId": "claude",
        "cwd": "/w",
        "timestamp": "2026-10-01T09:30:00.123Z",
    }
    counts = {
        "input_tokens": 0,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": output,
    }
    message = {"id": message_id, "role": "assistant", "model": "claude-opus-4-5-20251101", "usage": {**counts, **usage}}
    return {
        **line,
        "uuid": f"{message_id} {output}",
        **({"requestId": request_id} if request_id else {}),
        "message": message,
    }


def prompt(provider: str | None, model: str, tier: str | None, at: str, tokens: int, cached: int, output: int) -> Row:
    """A line of the format PRICED_FORMAT."""
    keys = ("provider", "model", "tier", "at", "tokens", "cached", "output")
    values_ = (provider, model, tier, at, tokens, cached, output)
    return dict(zip(keys, values_, strict=True), id=f"{provider} {model} {tier} {at} {tokens}")


def cost_point(session: str, day: dt.date, tokens: int, *, second: int = 0) -> Row:
    """A ctm line: the output tokens of a session up to this time, at one dollar each."""
    milliseconds = int(dt.datetime(day.year, day.month, day.day, 12, 0, second, tzinfo=dt.UTC).timestamp()) * 1000
    counts = {"input_tokens": 0, "cache_tokens": 0, "output_tokens": tokens}
    return {"ts": milliseconds, "session": session, **counts, "cost_usd_micros": tokens * 1_000_000}


@pytest.fixture(scope="module")
def cases(make_mart: Callable[[str], Mart]) -> Mart:
    """A target with the cases loaded and built."""
    mart = make_mart("cases")
    mart.write(
        "first/ledger.jsonl",
        tokenledger(
            *("cached", "2026-10-01T12:00:00Z"),
            provider="google",
            model="gemini-3-flash-preview",
            input_tokens=20_212,
            cached_tokens=16_298,
            output_tokens=931,
        ),
        tokenledger("unknown model", provider="acme", model="acme-llm-1"),
        tokenledger("known to be free", provider="acme", model="acme-llm-1", cost_usd=0),
        tokenledger("less than nothing", cost_usd=-0.5),
        tokenledger("unmetered", input_tokens=None, cached_tokens=None, output_tokens=None, status="error"),
        tokenledger("nothing used", input_tokens=0, cached_tokens=0, output_tokens=0),
        *[tokenledger(f"tenth {n}", user_id="tenths", cost_usd=0.1) for n in range(10)],
        *[tokenledger(f"daily {day}", f"{day}T08:00:00Z", user_id="daily", duration_ms=100) for day in DAYS],
        tokenledger("tie", f"{TIED_DAY}T12:00:00Z", team=TIED_TEAMS[0]),
        tokenledger("reversed tie", f"{TIED_DAY}T12:00:00Z", team=TIED_TEAMS[1]),
    )
    writes = {"ephemeral_5m_input_tokens": 600_000, "ephemeral_1h_input_tokens": 400_000}
    mart.write(
        "first/claude.jsonl",
        {"type": "summary", "summary": "-", "leafUuid": "u"},
        claude_code("writes", 0, cache_creation_input_tokens=1_000_000, cache_creation=writes),
        claude_code("reasoning", 1_970, output_tokens_details={"thinking_tokens": 956}),
        *[claude_code("streamed", output, request_id="r1") for output in (9, 9, 159)],
        *[claude_code("no request id", 100) for _ in range(3)],
    )
    mart.write("first/claude replay.jsonl", claude_code("replayed", 40, request_id="r2", is_sidechain=True))
    mart.write("first/claude story.jsonl", claude_code("replayed", 40, request_id="r1"))
    mart.write(
        "first/points.jsonl",
        *[cost_point("in order", DAYS[7], tokens, second=n) for n, tokens in enumerate((100, 250, 250, 400))],
    )
    mart.write(
        "first/late points.jsonl",
        *[cost_point("late", TOTALS[n], (100, 250, 400)[n]) for n in (0, 2)],
        *[cost_point("", TOTALS_WITHOUT_SESSION[n], (100, 250, 400)[n]) for n in (0, 2)],
    )
    mart.write("own/totals.sql", OWN_FORMAT)
    mart.write(
        "own/totals.jsonl",
        {"at": "2026-10-20T12:00:00Z", "session": "own", "output": 100, "reasoning": 20},
        {"at": "2026-10-20T12:00:01Z", "session": "own", "output": 250, "reasoning": 60},
    )
    mart.write("own/prices.sql", PRICED_FORMAT)
    mart.write("own/prices.jsonl", *(prompt(*case[:-1]) for case in PRICED))
    run(mart, "load", mart.folder / "first")
    for name in ("totals", "prices"):
        run(mart, "load", mart.folder / "own" / f"{name}.jsonl", "--format", mart.folder / "own" / f"{name}.sql")
    run(mart, "build")
    return mart


@pytest.fixture(scope="module")
def first(cases: Mart) -> Tables:
    """The marts of the cases."""
    return tables(cases)


@pytest.fixture(scope="module")
def later(cases: Mart, first: Tables) -> Tables:
    """The marts after an event that is ten days late, and running totals between the existing ones."""
    late_points = [cost_point("late", TOTALS[1], 250, second=n) for n in range(2)]
    cases.write("second/points.jsonl", *late_points, cost_point("", TOTALS_WITHOUT_SESSION[1], 250))
    cases.write("second/ledger.jsonl", tokenledger("late", f"{LATE_DAY}T23:00:00Z", status="timeout", duration_ms=300))
    run(cases, "load", cases.folder / "second")
    run(cases, "build")
    return tables(cases)


@pytest.fixture(scope="module")
def again(cases: Mart, later: Tables) -> Tables:
    """The marts after everything was loaded again, with two snapshots that are as full, but have another team."""
    cases.write(
        "third/ledger.jsonl",
        tokenledger("tie", f"{TIED_DAY}T12:00:00Z", team=TIED_TEAMS[1]),
        tokenledger("reversed tie", f"{TIED_DAY}T12:00:00Z", team=TIED_TEAMS[0]),
    )
    run(cases, "load", "--again", *(cases.folder / name for name in ("first", "second", "third")))
    run(cases, "build")
    return tables(cases)


@pytest.fixture(scope="module")
def rebuilt(cases: Mart, again: Tables) -> Tables:
    """The marts after a full refresh from all landed events."""
    run(cases, "build", "--full-refresh")
    return tables(cases)


def test_cached_tokens_are_billed_once(first: Tables) -> None:
    request = one(first["llm_requests"], event_id="cached")
    # 3,914 x 0.50 + 16,298 x 0.05 + 931 x 3.00, per million
    assert request["cost_usd"] == Decimal("0.0055649")
    assert (request["input_tokens"], request["cache_read_tokens"]) == (20_212, 16_298)


def test_one_hour_cache_writes_have_their_own_price(first: Tables) -> None:
    request = one(first["llm_requests"], event_id="writes")
    # 0.6 x 6.25 + 0.4 x 10.00
    assert request["cost_usd"] == request["cache_write_cost_usd"] == Decimal("7.75")
    assert (request["input_tokens"], request["cache_write_tokens"]) == (1_000_000, 1_000_000)


def test_reasoning_is_billed_once(first: Tables) -> None:
    request = one(first["llm_requests"], event_id="reasoning")
    assert (request["output_tokens"], request["reasoning_tokens"]) == (1_970, 956)
    assert request["cost_usd"] == Decimal("0.04925")  # 1,970 x 25.00 per million


def test_streamed_snapshots_are_one_request(first: Tables) -> None:
    assert one(first["llm_requests"], event_id="streamed")["output_tokens"] == 159


def test_a_message_without_a_request_id_is_one_request(first: Tables) -> None:
    assert one(first["llm_requests"], event_id="no request id")["output_tokens"] == 100
    assert one(first["sessions"], session_id="claude")["requests"] == 5
    assert one(first["sessions"], session_id="claude")["output_tokens"] == 0 + 1_970 + 159 + 100 + 40


def test_a_replay_of_a_message_in_a_side_chain_is_the_same_request(first: Tables, rebuilt: Tables) -> None:
    for found in (first, rebuilt):
        assert one(found["llm_requests"], event_id="replayed")["output_tokens"] == 40


@pytest.mark.parametrize("case", PRICED, ids=lambda case: prompt(*case[:-1])["id"])
def test_a_request_has_the_price_of_its_provider_tier_length_and_time(first: Tables, case: Any) -> None:
    *line, cost = case
    request = one(first["llm_requests"], event_id=prompt(*line)["id"])
    assert request["computed_cost_usd"] == request["cost_usd"] == (cost and Decimal(cost))
    parts = ("input", "cache_read", "cache_write", "output", "request")
    assert total([{"cost": request[f"{part}_cost_usd"]} for part in parts], "cost") == (request["cost_usd"] or 0)


def test_a_cost_has_its_reason(first: Tables) -> None:
    reasons = {
        "known to be free": "reported",
        "unknown model": "unpriced",
        "unmetered": "unmetered",
        "nothing used": "computed",
        prompt(*PRICED[11][:-1])["id"]: "unpriced",
        prompt(*PRICED[12][:-1])["id"]: "free",
    }
    found = {event_id: one(first["llm_requests"], event_id=event_id)["cost_basis"] for event_id in reasons}
    assert found == reasons


def test_running_totals_are_not_summed(first: Tables) -> None:
    session = one(first["sessions"], session_id="in order")
    assert (session["output_tokens"], session["cost_usd"]) == (400, 400)
    assert one(first["daily_costs_by_model"], provider="unattributed", usage_date=DAYS[7])["cost_usd"] == 400


def test_running_totals_may_arrive_late_and_out_of_order(first: Tables, later: Tables, rebuilt: Tables) -> None:
    assert costs_of(TOTALS, first) == [100, None, 300]
    # the second day adds 150 of its 250, and the last day another 150
    assert costs_of(TOTALS, later) == costs_of(TOTALS, rebuilt) == [100, 150, 150]
    for found in (first, later, rebuilt):
        session = one(found["sessions"], session_id="late")
        assert (session["output_tokens"], session["cost_usd"]) == (400, 400)


def test_running_totals_without_a_session_count_as_one_session(first: Tables, later: Tables, rebuilt: Tables) -> None:
    assert costs_of(TOTALS_WITHOUT_SESSION, first) == [100, None, 300]
    assert costs_of(TOTALS_WITHOUT_SESSION, rebuilt) == [100, 150, 150]
    assert costs_of(TOTALS_WITHOUT_SESSION, later) == [100, 150, 150]


def costs_of(days: list[dt.date], found: Tables) -> list[Decimal | None]:
    """The cost of each of these days, None for days without a row."""
    rows = {row["usage_date"]: row["cost_usd"] for row in found["daily_costs"]}
    return [rows.get(day) for day in days]


def test_no_part_of_a_running_total_is_summed(first: Tables) -> None:
    session = one(first["sessions"], session_id="own")
    assert (session["output_tokens"], session["reasoning_tokens"]) == (250, 60)


def test_an_unknown_model_is_unpriced_and_a_free_one_costs_nothing(first: Tables) -> None:
    assert one(first["llm_requests"], event_id="unknown model")["cost_usd"] is None
    assert one(first["llm_requests"], event_id="known to be free")["cost_usd"] == 0
    model = one(first["daily_costs_by_model"], provider="acme", model="acme-llm-1")
    assert (model["requests"], model["priced_requests"], model["unpriced_requests"], model["cost_usd"]) == (2, 1, 1, 0)


def test_a_negative_cost_is_ignored(first: Tables) -> None:
    request = one(first["llm_requests"], event_id="less than nothing")
    assert request["reported_cost_usd"] is None
    assert request["cost_usd"] == Decimal("0.00021")  # 1,000 x 0.15 + 100 x 0.60 per million


def test_missing_and_zero_counts_are_distinguished(first: Tables) -> None:
    missing = one(first["llm_requests"], event_id="unmetered")
    assert {missing[name] for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cost_usd")} == {None}
    zero = one(first["llm_requests"], event_id="nothing used")
    assert {zero[name] for name in ("input_tokens", "output_tokens", "cache_read_tokens", "cost_usd")} == {0}
    day = one(first["daily_costs"], usage_date=dt.date(2026, 10, 1))
    assert (day["unmetered_requests"], day["unpriced_requests"]) == (1, 2)


def test_sums_are_exact(first: Tables) -> None:
    assert one(first["users"], user_id="tenths")["cost_usd"] == 1


@pytest.mark.parametrize("stage", ["first", "later", "again", "rebuilt"])
def test_every_mart_adds_up_to_the_requests(stage: str, request: pytest.FixtureRequest) -> None:
    found: Tables = request.getfixturevalue(stage)
    sums = {
        table: (sum(row["requests"] for row in rows), total(rows, "output_tokens"), total(rows, "cost_usd"))
        for table, rows in found.items()
        if table not in ("llm_requests", "usage_summary") and "cost_usd" in rows[0]
    }
    requests = found["llm_requests"]
    assert set(sums.values()) == {(len(requests), total(requests, "output_tokens"), total(requests, "cost_usd"))}


def test_a_late_event_changes_only_its_day(first: Tables, later: Tables) -> None:
    daily = {table: rows for table, rows in first.items() if {"batch_id", "usage_date"} <= rows[0].keys()}
    assert daily
    for table, rows in daily.items():
        before, after = by_day(rows), by_day(later[table])
        changed = {day for day in before.keys() | after.keys() if before.get(day) != after.get(day)}
        of_totals = set() if table == "daily_errors_by_type" else set(TOTALS[1:])
        # the total before the late ones may be written again with the rest of its session
        assert changed - {TOTALS[0], *TOTALS_WITHOUT_SESSION} == {LATE_DAY} | of_totals, table
    day, was = (one(found["daily_costs"], usage_date=LATE_DAY) for found in (later, first))
    assert (was["requests"], day["requests"]) == (1, 2)
    assert day["cost_usd"] == 2 * was["cost_usd"] == Decimal("0.00042")
    assert one(later["daily_latency"], usage_date=LATE_DAY)["duration_ms_p50"] == 200
    assert one(later["daily_errors_by_model"], usage_date=LATE_DAY)["timeout_rate"] == 0.5


def test_loading_everything_again_changes_nothing(later: Tables, again: Tables) -> None:
    before, after = values(later, without_day=TIED_DAY), values(again, without_day=TIED_DAY)
    assert all(before.values())
    assert [table for table in TABLES if before[table] != after[table]] == []
    last = max(row["batch_id"] for row in later["daily_costs"])
    written = {row["usage_date"] for row in again["daily_costs"] if row["batch_id"] > last}
    # the increase of a running total is computed again from its whole session
    assert written <= {DAYS[7], TIED_DAY, *TOTALS, *TOTALS_WITHOUT_SESSION}


def test_the_choice_between_equal_snapshots_does_not_depend_on_their_order(again: Tables, rebuilt: Tables) -> None:
    teams = {
        one(found["llm_requests"], event_id=event_id)["team"]
        for found in (again, rebuilt)
        for event_id in ("tie", "reversed tie")
    }
    assert len(teams) == 1, teams


def test_a_full_refresh_gives_the_same_marts_as_the_incremental_runs(again: Tables, rebuilt: Tables) -> None:
    before, after = values(again), values(rebuilt)
    assert all(before.values())
    assert [table for table in TABLES if before[table] != after[table]] == []


def test_every_line_is_landed_skipped_or_rejected(make_mart: Callable[[str], Mart]) -> None:
    mart = make_mart("lines")
    mart.write(
        "ledger.jsonl", tokenledger("a"), "{broken", tokenledger("b", timestamp="yesterday"), "", tokenledger("a")
    )
    mart.write("claude.jsonl", {"type": "summary", "summary": "-", "leafUuid": "u"}, claude_code("m", 1))
    run(mart, "load", mart.folder, code=3)
    files = mart.query("select lines_read, lines_landed, lines_skipped, lines_rejected from raw_usage.loaded_files")
    assert sorted(files) == [(2, 1, 1, 0), (5, 2, 1, 2)]
