"""`tokenmart explain` shows the arithmetic of a request's cost to the last digit, and fails if stored costs differ."""

import re
import shutil
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest

from conftest import Mart, tokenledger
from marts import run

HOSTILE = "acme\x1b[2J\u202e"
SONNET, MINI = "anthropic/claude-sonnet-4-5 standard", "openai/gpt-4o-mini standard"


def claude_code(message_id: str, output: int, **usage: Any) -> dict[str, Any]:
    """A line of Claude Code with 1,234 uncached input tokens, 20,001 read from a cache, and 3,000 written to it."""
    counts = {
        "input_tokens": 1_234,
        "cache_read_input_tokens": 20_001,
        "cache_creation_input_tokens": 3_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 2_000, "ephemeral_1h_input_tokens": 1_000},
        "output_tokens": output,
    }
    return {
        "type": "assistant",
        "sessionId": "s1",
        "cwd": "/w",
        "timestamp": "2026-10-20T09:30:00.123Z",
        "uuid": f"{message_id} {output}",
        "message": {
            "id": message_id,
            "role": "assistant",
            "model": "claude-sonnet-4-5-20250929",
            "usage": {**counts, **usage},
        },
    }


def total_at(second: int, tokens: int) -> dict[str, Any]:
    """A line of ctm: the output tokens of a session until then, at a dollar each."""
    counts = {"input_tokens": 0, "cache_tokens": 0, "output_tokens": tokens}
    return {"ts": 1_760_000_000_000 + second * 1000, "session": "s", **counts, "cost_usd_micros": tokens * 1_000_000}


@pytest.fixture(scope="module")
def built(make_mart: Callable[[str], Mart]) -> Mart:
    """A target with requests of every kind of cost, loaded and built."""
    mart = make_mart("explain")
    none: dict[str, Any] = {"input_tokens": None, "output_tokens": None, "cached_tokens": None}
    mart.write(
        "logs/ledger.jsonl",
        tokenledger("long", model="gpt-5.4", input_tokens=278_476, cached_tokens=7_936, output_tokens=1_000),
        tokenledger("reported", cost_usd=0.5),
        tokenledger("cheaper", cost_usd=0.0002),
        tokenledger("free", provider="openrouter", model="agentica-org/deepcoder-14b-preview:free"),
        tokenledger("fee", provider="perplexity", model="sonar"),
        tokenledger("embedding", model="text-embedding-3-small", output_tokens=None),
        tokenledger("azure", provider="azure", model="claude-opus-4-5-20251101"),
        tokenledger("hours", provider="deepseek", model="deepseek-chat"),
        tokenledger("nobody", provider=None),
        tokenledger("unknown provider", provider="acme", model="gpt-4o"),
        tokenledger("unknown model", model="acme-llm-1"),
        tokenledger("unknown model of nobody", provider=None, model="acme-llm-1"),
        tokenledger("no model", model=None),
        tokenledger("no price", provider="cerebras", model="qwen-3-coder-480b"),
        tokenledger("reported only", provider="acme", model="acme-llm-1", cost_usd=0.25),
        tokenledger("no tokens", **none),
        tokenledger("no tokens, no model", provider="acme", model="acme-llm-1", **none),
        tokenledger("no output", output_tokens=None),
        tokenledger("no input to embed", model="text-embedding-3-small", **none),
        tokenledger("hostile", model=HOSTILE),
    )
    mart.write(
        "logs/claude.jsonl",
        *(claude_code("cached", output) for output in (9, 9, 567)),
        claude_code("batch", 567, service_tier="batch"),
        claude_code("searches", 567, server_tool_use={"web_search_requests": 2}),
    )
    mart.write("logs/totals.jsonl", total_at(0, 100), total_at(1, 250))
    run(mart, "load", mart.folder / "logs")
    run(mart, "build")
    return mart


@pytest.fixture
def copy(mart: Mart, built: Mart) -> Mart:
    """A copy of the target, which a test can change."""
    shutil.copy(built.path, mart.path)
    return mart


def lines(mart: Mart, event_id: str, code: int = 0) -> list[str]:
    """What the command prints, with runs of spaces as one space."""
    return [" ".join(line.split()) for line in mart.run("explain", event_id, code=code).stdout.splitlines()]


def parts(explained: dict[str, Any]) -> list[tuple[Any, ...]]:
    return [
        (part["name"], part["tokens"], part["usd_per_million"], part["cost_usd"], part["priced_as"])
        for part in explained["parts"]
    ]


# ---------------------------------------------------------------- the arithmetic


def test_each_part_of_a_request_with_caches_is_shown(copy: Mart) -> None:
    shown = lines(copy, "cached")
    table = shown.index("part tokens USD per million USD")
    assert shown[table + 1 : table + 9] == [
        "uncached input 1,234 3.00 0.0037020",
        "cache read 20,001 0.30 0.0060003",
        "cache write (5 minutes) 2,000 3.75 0.0075000",
        "cache write (1 hour) 1,000 6.00 0.0060000",
        "output 567 15.00 0.0085050",
        "request fee 0.0000000",
        "web searches 0.0000000",
        "sum 0.0317073",
    ]
    assert "3 events (snapshots) of this request were loaded; the most complete one counts." in shown
    assert shown[-3:] == [
        "The log reports no cost.",
        "The computed cost is $0.0317073.",
        "The computed cost counts, because the log reports none.",
    ]
    explained = copy.json("explain", "cached")
    assert parts(explained) == [
        ("uncached input", 1_234, "3.000000", "0.003702000000", None),
        ("cache read", 20_001, "0.300000", "0.006000300000", None),
        ("cache write (5 minutes)", 2_000, "3.750000", "0.007500000000", None),
        ("cache write (1 hour)", 1_000, "6.000000", "0.006000000000", None),
        ("output", 567, "15.000000", "0.008505000000", None),
        ("request fee", None, None, "0.000000000000", None),
        ("web searches", None, None, "0.000000000000", None),
    ]
    assert explained["problems"] == [] and explained["hint"] is None and explained["missing"] == []


def test_the_request_and_its_price_row_are_shown(copy: Mart) -> None:
    shown = lines(copy, "batch")
    load_id = copy.query("select load_id from marts.llm_requests where event_id = 'batch'")[0][0]
    assert shown[: shown.index("Computed cost")] == [
        "Request",
        "event_id batch",
        "occurred_at 2026-10-20 09:30:00.123000 UTC",
        "usage_date 2026-10-20",
        "provider anthropic",
        "model claude-sonnet-4-5-20250929",
        "canonical_model claude-sonnet-4-5",
        "model_family claude-sonnet",
        "model_region NULL",
        "service_tier batch",
        "priced_service_tier batch",
        "source_format claude_code",
        f"load_id {load_id}",
    ]
    assert shown[shown.index("Price row") : shown.index("Cost")] == [
        "Price row",
        "price_id anthropic/claude-sonnet-4-5 batch from 2026-10-14",
        "price_basis provider: the own price list of the provider (anthropic)",
        "service tier batch",
        "days from 2026-10-14",
        "input tokens at most 200,000",
        "source genai-prices 0.2.3, as of 2026-11-09",
    ]
    explained = copy.json("explain", "batch")
    assert explained["request"]["occurred_at"] == "2026-10-20T09:30:00.123000+00:00"
    assert explained["request"]["snapshots"] == 1
    assert explained["price"]["valid_from"] == "2026-10-14" and explained["price"]["valid_to"] is None


def test_a_long_prompt_has_the_higher_price_for_all_tokens(copy: Mart) -> None:
    explained = copy.json("explain", "long")
    assert parts(explained) == [
        ("uncached input", 270_540, "5.000000", "1.352700000000", None),
        ("cache read", 7_936, "0.500000", "0.003968000000", None),
        ("cache write (5 minutes)", 0, "5.000000", "0.000000000000", "uncached input"),
        ("cache write (1 hour)", 0, "5.000000", "0.000000000000", "uncached input"),
        ("output", 1_000, "22.500000", "0.022500000000", None),
        ("request fee", None, None, "0.000000000000", None),
        ("web searches", None, None, "0.000000000000", None),
    ]
    assert explained["costs"]["computed_cost_usd"] == "1.379168000000"
    shown = lines(copy, "long")
    assert "sum 1.379168" in shown and "input tokens more than 272,000" in shown
    assert "cache write (1 hour), as uncached input 0 5.00 0.000000" in shown


@pytest.mark.parametrize(
    ("event_id", "total", "line"),
    [
        ("fee", "0.0131", "request fee, 1 x 0.012 0.0120"),  # and 1,000 x 1 + 100 x 1, per million
        ("searches", "0.0517073", "web searches, 2 x 0.01 0.0200000"),  # and 0.0317073, as for the request "cached"
        ("embedding", "0.00002", "output 0 0.00 0.00000"),  # 1,000 x 0.02
        ("azure", "0.0075", "price_basis passed_on: the price of the model's vendor (anthropic), which the provider"),
        ("nobody", "0.00021", "price_basis vendor: the price of the model's vendor (openai), because the log does not"),
        ("hours", None, "hours 00:30 to 16:30 UTC"),
    ],
)
def test_fees_fallbacks_and_other_lists_are_explained(event_id: str, total: str | None, line: str, copy: Mart) -> None:
    shown = lines(copy, event_id)
    assert any(found.startswith(line) for found in shown), shown
    if total:
        assert f"The computed cost is ${total}." in shown


def test_an_increase_of_a_running_total_says_so(copy: Mart) -> None:
    ((event_id,),) = copy.query(
        "select event_id from marts.llm_requests where is_running_total and output_tokens = 150"
    )
    shown = lines(copy, event_id)
    assert "The log has running totals; the tokens and the cost are the increase since the last total." in shown
    assert "The log reports a cost of $150.00." in shown and "output 150 NULL NULL" in shown


# ---------------------------------------------------------------- which cost counts


def test_the_reported_cost_counts_and_is_compared(copy: Mart) -> None:
    # 1,000 x 0.15 + 100 x 0.60, per million
    assert lines(copy, "reported")[-4:] == [
        "The log reports a cost of $0.50.",
        "The computed cost is $0.00021.",
        "The reported cost is $0.49979 more than the computed cost.",
        "The reported cost counts, because the log reports one.",
    ]
    assert copy.json("explain", "reported")["costs"] == {
        "reported_cost_usd": "0.500000000000",
        "computed_cost_usd": "0.000210000000",
        "difference_usd": "0.499790000000",
        "cost_usd": "0.500000000000",
        "cost_basis": "reported",
        "cost_preference": "reported",
    }
    assert "The reported cost is $0.00001 less than the computed cost." in lines(copy, "cheaper")


def test_the_preference_for_computed_costs_is_read_from_the_newest_settings(copy: Mart) -> None:
    copy.query(
        "insert into marts.build_settings select * replace ('computed' as cost_preference, batch_id + 1 as batch_id)"
        " from marts.build_settings;"
        " update marts.llm_requests set cost_usd = computed_cost_usd, cost_basis = 'computed'"
        " where event_id = 'reported'"
    )
    assert lines(copy, "reported")[-1] == "The computed cost counts, because cost_preference is 'computed'."
    assert "The reported cost counts, because no cost can be computed." in lines(copy, "reported only")


def test_a_free_model_costs_nothing(copy: Mart) -> None:
    shown = lines(copy, "free")
    assert "sum 0.00" in shown and shown[-3:] == [
        "The computed cost is $0.00.",
        "The computed cost counts, because the log reports none.",
        "The request is free, because all prices of its model are 0.",
    ]


@pytest.mark.parametrize(
    ("event_id", "basis", "missing", "to_do"),
    [
        ("unknown provider", "unpriced", "does not have the provider acme", "provider_aliases.csv"),
        (
            "unknown model",
            "unpriced",
            "does not have the model acme-llm-1 of the provider openai",
            "price_overrides.csv",
        ),
        ("unknown model of nobody", "unpriced", "and the log does not name the provider", "model_prefixes.csv"),
        ("no model", "unpriced", "The log does not name the model", "custom format"),
        (
            *("no price", "unpriced"),
            "has the model qwen-3-coder-480b, but no price for 2026-10-01 12:00 UTC and 1,000 input tokens.",
            "Add the price to seeds/price_overrides.csv, then run tokenmart build.",
        ),
        ("no tokens", "unmetered", "the number of input tokens and output tokens.", "custom format"),
        ("no output", "unmetered", "the number of output tokens.", "custom format"),
        ("no input to embed", "unmetered", "the number of input tokens.", "custom format"),
    ],
)
def test_a_request_without_a_cost_says_what_is_missing(
    event_id: str, basis: str, missing: str, to_do: str, copy: Mart
) -> None:
    explained = copy.json("explain", event_id)
    (found,) = explained["missing"]
    assert missing in found["what"] and to_do in found["to_do"]
    assert explained["costs"]["cost_basis"] == basis and explained["costs"]["cost_usd"] is None
    shown = lines(copy, event_id)
    assert f"missing {found['what']}" in shown and found["to_do"] in shown
    assert f"The cost is unknown (cost_basis is '{basis}'). It is not 0." in shown and "sum NULL" in shown


def test_everything_that_is_missing_is_listed(copy: Mart) -> None:
    missing = copy.json("explain", "no tokens, no model")["missing"]
    assert [re.search("input tokens|provider acme", item["what"]) is not None for item in missing] == [True, True]


# ---------------------------------------------------------------- stored costs that differ


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        (
            f"update marts.model_prices set cache_write_1h_usd_per_million = null where price_id = '{SONNET}'",
            # 1,000 tokens at 3.75 instead of 6.00
            [
                "cache_write_cost_usd is $0.0135, but the price row gives $0.01125.",
                "computed_cost_usd is $0.0317073, but the price row gives $0.0294573.",
            ],
        ),
        (
            f"update marts.model_prices set input_usd_per_million = null where price_id = '{SONNET}'",
            [
                "input_cost_usd is $0.003702, but the price row gives unknown.",
                "computed_cost_usd is $0.0317073, but the price row gives unknown.",
            ],
        ),
        (
            f"update marts.model_prices set request_usd = 0.01 where price_id = '{SONNET}'",
            [
                "request_cost_usd is $0.00, but the price row gives $0.01.",
                "computed_cost_usd is $0.0317073, but the price row gives $0.0417073.",
            ],
        ),
        *(
            (
                f"update marts.model_prices set {change} where price_id = '{SONNET}'",
                ["The price row no longer holds for the time, input tokens or service tier of this request."],
            )
            for change in (
                "valid_to = date '2026-10-20'",
                "valid_from = date '2026-10-21'",
                "from_minute = 571",
                "to_minute = 570",
                "above_input_tokens = 24235",
                "up_to_input_tokens = 24234",
                "priced_tier = 'batch'",
            )
        ),
        (
            f"delete from marts.model_prices where price_id = '{SONNET}'",
            [f"The price row {SONNET} is no longer in model_prices."],
        ),
        (
            "update marts.llm_requests set cost_usd = 1 where event_id = 'cached'",
            ["cost_usd is $1.00, but for cost_basis computed it must be $0.0317073."],
        ),
        (
            "insert into marts.llm_requests from marts.llm_requests where event_id = 'cached'",
            ["llm_requests has 2 rows of this request, so its cost is counted too often."],
        ),
    ],
    ids=str,
)
def test_a_stored_cost_that_differs_is_a_failure(change: str, problems: list[str], copy: Mart) -> None:
    copy.query(change)
    explained = copy.json("explain", "cached", code=1)
    assert explained["problems"] == problems and "tokenmart build" in explained["hint"]
    shown = lines(copy, "cached", code=1)
    assert shown[-1] == explained["hint"] and shown[-1 - len(problems) : -1] == [f"wrong {text}" for text in problems]


def test_a_request_without_a_price_row_can_have_an_empty_price_id(copy: Mart) -> None:
    copy.query("update marts.llm_requests set price_id = '' where event_id = 'no price'")
    explained = copy.json("explain", "no price")
    assert explained["price"] is None and explained["problems"] == []


@pytest.mark.parametrize(
    "change",
    [
        "valid_from = date '2026-10-20', valid_to = date '2026-10-21'",
        "from_minute = 570, to_minute = 571",
        "above_input_tokens = 24234, up_to_input_tokens = 24235",
    ],
)
def test_a_price_row_that_just_holds_is_no_problem(change: str, copy: Mart) -> None:
    copy.query(f"update marts.model_prices set {change} where price_id = '{SONNET}'")
    shown = lines(copy, "cached")
    assert {"days 2026-10-20 to 2026-10-20", "hours 09:30 to 09:31 UTC"}.intersection(shown) or (
        "input tokens more than 24,234 and at most 24,235" in shown
    )


def test_an_empty_price_that_the_request_needs_is_named(copy: Mart) -> None:
    copy.query(
        f"update marts.model_prices set output_usd_per_million = null where price_id = '{MINI}';"
        " update marts.llm_requests set output_cost_usd = null, computed_cost_usd = null where event_id = 'reported'"
    )
    (missing,) = copy.json("explain", "reported")["missing"]
    assert missing["what"] == f"The price row {MINI} has no output_usd_per_million."
    assert missing["to_do"] == "Complete the row in seeds/model_prices.csv, then run tokenmart build."


def test_no_digit_of_a_large_amount_is_lost(copy: Mart) -> None:
    # 9,999,999,999 tokens at 999,999,999,999.999999 USD per million, in whole trillionths of a dollar
    cost = Decimal(9_999_999_999 * 999_999_999_999_999_999).scaleb(-12)
    copy.query(
        f"update marts.model_prices set output_usd_per_million = 999999999999.999999 where price_id = '{MINI}';"
        f" update marts.llm_requests set output_tokens = 9999999999, output_cost_usd = {cost},"
        f" computed_cost_usd = {cost} + 0.00015 where event_id = 'reported'"
    )
    explained = copy.json("explain", "reported")
    assert explained["parts"][4]["cost_usd"] == f"{cost:f}" == "9999999998999999.990000000001"
    assert explained["costs"]["difference_usd"] == "-9999999998999999.490150000001"


# ---------------------------------------------------------------- errors, and hostile text


def test_an_unknown_id_says_how_to_find_ids(copy: Mart) -> None:
    result = copy.run("explain", "e'\\1", code=1)
    assert (
        result.stdout == "" and result.stderr.splitlines()[0] == "Failed: There is no request with the event_id e'\\1."
    )
    assert 'tokenmart query "select event_id, occurred_at, model, cost_usd from llm_requests' in result.stderr
    assert copy.json("explain", "e1", code=1) == {
        "error": "There is no request with the event_id e1.",
        "hint": 'To find ids: tokenmart query "select event_id, occurred_at, model, cost_usd from llm_requests'
        ' order by occurred_at desc"',
        "exit_code": 1,
    }
    assert "no request with the event_id \\xff." in copy.run("explain", "\udcff", code=1).stderr


def test_a_loaded_request_that_is_not_in_the_marts_says_what_to_do(copy: Mart) -> None:
    copy.query("delete from marts.llm_requests where event_id = 'free'")
    message = copy.run("explain", "free", code=1).stderr
    assert "has been loaded, but it is not in the marts" in message and "tokenmart build" in message


def test_marts_that_are_not_built_or_old_say_what_to_do(mart: Mart, built: Mart) -> None:
    assert "Nothing has been loaded" in mart.run("explain", "e1", code=1).stderr
    shutil.copy(built.path, mart.path)
    mart.query("alter table marts.model_prices drop column priced_tier")
    assert "tokenmart build --full-refresh" in mart.run("explain", "free", code=1).stderr
    mart.query("drop table marts.model_prices")
    message = mart.run("explain", "free", "--target", "duckdb", code=1).stderr
    assert "There is no table model_prices in the schema marts" in message
    assert "tokenmart build --target duckdb" in message


def test_control_characters_are_made_visible(copy: Mart) -> None:
    result = copy.run("explain", "hostile")
    assert "\x1b" not in result.output and "\u202e" not in result.output
    assert result.stdout.count(r"acme\x1b[2J\u202e") == 2
    raw = copy.run("explain", "hostile", "--json").stdout
    assert raw.isascii() and "\x1b" not in raw and "\\u001b[2J\\u202e" in raw
    copy.query("update marts.llm_requests set event_id = 'e\x1b[31m', model = '[red]x[/nope]' where event_id = 'free'")
    shown = lines(copy, "e\x1b[31m")
    assert "event_id e\\x1b[31m" in shown and "model [red]x[/nope]" in shown
