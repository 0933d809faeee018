"""`tokenmart whatif` compares actual costs with costs at other prices, exactly, and its errors say what to do."""

import json
import shutil
from collections.abc import Callable
from typing import Any

import pytest

from conftest import Mart, tokenledger
from marts import run

OPUS, MINI, GPT_4O = "claude-opus-4-5-20251101", "gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06"
LATER = "2026-10-20T09:30:00Z"
NONE: dict[str, Any] = {"input_tokens": None, "output_tokens": None, "cached_tokens": None}


def claude_code(message_id: str, model: str, **usage: Any) -> dict[str, Any]:
    """A line of Claude Code with 1,000 uncached input tokens and 500 output tokens."""
    message = {"id": message_id, "role": "assistant", "model": model}
    counts = {"input_tokens": 1_000, "output_tokens": 500}
    envelope = {"type": "assistant", "sessionId": "s1", "cwd": "/w", "timestamp": LATER, "uuid": message_id}
    return {**envelope, "message": {**message, "usage": {**counts, **usage}}}


@pytest.fixture(scope="module")
def built(make_mart: Callable[[str], Mart]) -> Mart:
    """A target with requests of several models and teams, loaded and built. The comments have their actual costs."""
    mart = make_mart("whatif")
    cached = {
        "cache_read_input_tokens": 20_000,
        "cache_creation_input_tokens": 3_000,
        "cache_creation": {"ephemeral_5m_input_tokens": 2_000, "ephemeral_1h_input_tokens": 1_000},
        "output_tokens_details": {"thinking_tokens": 200},
    }
    mart.write(
        "logs/claude.jsonl",
        # (1,000 x 5 + 20,000 x 0.5 + 2,000 x 6.25 + 1,000 x 10 + 500 x 25) / 1,000,000 = 0.05
        claude_code("cached", OPUS, **cached),
        # (1,000 x 1 + 500 x 5) / 1,000,000 + 2 x 0.01 = 0.0235
        claude_code("searches", "claude-haiku-4-5-20251001", server_tool_use={"web_search_requests": 2}),
    )
    anthropic = {"provider": "anthropic", "model": OPUS, "team": "it's \\ é", "user_id": "ada", "project": "atlas"}
    acme = {"provider": "acme", "model": "acme-llm-1", "team": "acme"}
    mart.write(
        "logs/ledger.jsonl",
        # the log reports 0.5; (1,000 x 5 + 100 x 25) / 1,000,000 = 0.0075
        tokenledger("reported", cost_usd=0.5, **anthropic),
        tokenledger("no tokens", cost_usd=0.25, **{**anthropic, **NONE}),
        # (300,000 x 0.15 + 1,000 x 0.6) / 1,000,000 = 0.0456
        tokenledger("long", model=MINI, input_tokens=300_000, output_tokens=1_000, team="search"),
        # (272,000 x 0.15 + 1,000 x 0.6) / 1,000,000 = 0.0414
        tokenledger("limit", model=MINI, input_tokens=272_000, output_tokens=1_000, team="search"),
        # (1,000 x 2.5 + 100 x 10) / 1,000,000 = 0.0035 each
        tokenledger("noon", model=GPT_4O, team="night"),
        tokenledger("evening", "2026-10-01T18:00:00Z", model=GPT_4O, team="night"),
        # (1,000 x 3.3 + 100 x 16.5) / 1,000,000 = 0.00495
        tokenledger("cloud", provider="bedrock", model="anthropic.claude-sonnet-4-5-20250929-v1:0", team="cloud"),
        tokenledger("unpriced", **acme),
        tokenledger("reported only", cost_usd=0.25, **acme),
    )
    run(mart, "load", mart.folder / "logs")
    run(mart, "build")
    return mart


@pytest.fixture
def copy(mart: Mart, built: Mart) -> Mart:
    """A copy of the target."""
    shutil.copy(built.path, mart.path)
    return mart


def usd(amount: str) -> str:
    """An amount with twelve decimal places."""
    whole, _, places = amount.partition(".")
    return f"{whole}.{places:0<12}"


def costs(cost: str, *parts: str, without_cache: str) -> dict[str, str]:
    """The hypothetical costs: in all, uncached input, cache read, cache write, output, and without caching."""
    names = ("input_cost_usd", "cache_read_cost_usd", "cache_write_cost_usd", "output_cost_usd")
    amounts = {"cost_usd": cost, **dict(zip(names, parts, strict=True)), "cost_without_cache_usd": without_cache}
    amounts |= {"request_cost_usd": "0.", "web_search_cost_usd": "0."}
    return {name: usd(amount) for name, amount in amounts.items()}


# ---------------------------------------------------------------- the figures


def test_another_model_has_its_own_prices_for_each_part(copy: Mart) -> None:
    found = copy.json("whatif", "--from", "claude-opus-4-5", "--to", "claude-sonnet-4-5")
    assert found["chosen"] == {"canonical_model": ["claude-opus-4-5"]}
    assert (found["first_date"], found["last_date"]) == ("2026-10-01", "2026-10-20")
    assert found["requests"] == {
        "chosen": 3,
        "compared": 2,
        "without_tokens": 1,
        "without_price": 0,
        "without_actual_cost": 0,
        "with_reported_cost": 1,
        "without_actual_parts": 0,
    }
    assert found["tokens"] == {
        "input_tokens": 25_000,
        "cache_read_tokens": 20_000,
        "cache_write_tokens": 3_000,
        "output_tokens": 600,
        "reasoning_tokens": 200,
        "web_search_requests": 0,
    }
    # input 0.005 + 0.005, output 0.0125 + 0.0025; without caching (24,000 x 5 + 500 x 25) / 1,000,000 + 0.0075
    actual = costs("0.55", "0.01", "0.01", "0.0225", "0.015", without_cache="0.14")
    assert found["actual"] == {**actual, "computed_cost_usd": usd("0.0575")}
    # of "cached" 0.003 + 0.006 + (2,000 x 3.75 + 1,000 x 6) / 1,000,000 + 0.0075, of "reported" 0.003 + 0.0015
    # without caching (24,000 x 3 + 500 x 15) / 1,000,000 + 0.0045
    assert found["what_if"] == costs("0.0345", "0.006", "0.006", "0.0135", "0.009", without_cache="0.084")
    assert found["difference_usd"] == usd("-0.5155") and found["difference_rate"] == pytest.approx(-0.5155 / 0.55)
    assert (found["price_rows"], found["price_id"]) == (1, "anthropic/claude-sonnet-4-5 standard")
    assert found["left_out"] == ["Left out: 1 request, because the log does not have their tokens."]
    assert found["notes"] == [
        "The token counts are those of the log. For 2 requests, the model is of another family, whose tokenizer may"
        " count the same text differently.",
        "200 of the output tokens are reasoning tokens. Another model may need more or fewer.",
        "The cached tokens are those of the log. Another model may cache more or fewer.",
        "The actual cost of 1 request is the cost that the log reports, which can include discounts. The other costs"
        " are computed from the price list.",
    ]


def test_the_table_has_the_same_figures(copy: Mart) -> None:
    shown = copy.run("whatif", "--from", "claude-opus", "--to", "claude-sonnet-4-5").stdout.splitlines()
    lines = [" ".join(line.split()) for line in shown]
    assert lines[:10] == [
        "2 requests of the model family claude-opus, 2026-10-01 to 2026-10-20; 1 left out",
        "what if: model claude-sonnet-4-5; price: anthropic/claude-sonnet-4-5 standard",
        "tokens actual USD what if USD difference USD %",
        "uncached input 2,000 0.0100 0.0060 -0.0040 -40.0%",
        "cache read 20,000 0.0100 0.0060 -0.0040 -40.0%",
        "cache write 3,000 0.0225 0.0135 -0.0090 -40.0%",
        "output 600 0.0150 0.0090 -0.0060 -40.0%",
        "computed cost 0.0575 0.0345 -0.0230 -40.0%",
        "cost 0.5500 0.0345 -0.5155 -93.7%",
        "without caching 0.1400 0.0840 -0.0560 -40.0%",
    ]
    assert lines[10].startswith("Left out: 1 request") and len(lines) == 15


def test_without_caching_all_input_has_the_price_of_uncached_input(copy: Mart) -> None:
    found = copy.json("whatif", "--from", OPUS, "--without-cache")
    # 24,000 x 5 and 1,000 x 5 per million
    assert found["what_if"] == costs("0.14", "0.125", "0.", "0.", "0.015", without_cache="0.14")
    assert found["chosen"] == {"model": [OPUS]} and found["tokens"]["cache_read_tokens"] == 20_000
    assert found["difference_usd"] == usd("-0.41") and len(found["notes"]) == 1
    shown = copy.run("whatif", "--from", OPUS, "--without-cache").stdout
    assert "what if: no caching; price: anthropic/claude-opus-4-5 standard" in shown
    assert "\nwithout caching" not in shown


@pytest.mark.parametrize(
    ("options", "cost", "standard"),
    [
        # "cached" on October 20 at half the price, 0.025; "reported" on October 1, before batch prices begin, 0.0075
        ((), "0.0325", "For 1 request, the standard price is used"),
        # 0.025 + 0.00375
        (("--at", "2026-10-14"), "0.02875", None),
        # 0.05 + 0.0075
        (("--at", "2026-10-13"), "0.0575", "For 2 requests, the standard price is used"),
    ],
)
def test_a_tier_has_its_prices_on_the_dates_when_they_hold(
    options: tuple[str, ...], cost: str, standard: str | None, copy: Mart
) -> None:
    found = copy.json("whatif", "--from", "Claude-Opus-4-5", "--to-tier", "batch", *options)
    assert found["what_if"]["cost_usd"] == usd(cost)
    notes = [note for note in found["notes"] if "standard price" in note]
    assert [note.partition(":")[0] for note in notes] == ([standard] if standard else [])
    assert all(note.endswith("the price list has no price for the service tier batch.") for note in notes)


def test_a_long_prompt_has_the_higher_price(copy: Mart) -> None:
    found = copy.json("whatif", "--team", "search", "--to", "gpt-5.4")
    # 300,000 x 5 + 1,000 x 22.5, and at the limit 272,000 x 2.5 + 1,000 x 15, per million: 1.5225 + 0.695
    assert found["what_if"]["cost_usd"] == usd("2.2175") and found["actual"]["cost_usd"] == usd("0.087")
    assert found["difference_usd"] == usd("2.1305") and (found["price_rows"], found["price_id"]) == (2, None)
    assert "For 1 request, the price for long prompts is used." in found["notes"] and len(found["notes"]) == 2


@pytest.mark.parametrize("options", [(), ("--at", "2026-01-31")])
def test_a_date_keeps_the_time_of_day(options: tuple[str, ...], copy: Mart) -> None:
    found = copy.json("whatif", "--team", "night", "--to", "deepseek-chat", *options)
    # at noon 1,000 x 0.27 + 100 x 1.1 and at 18:00 1,000 x 0.135 + 100 x 0.55, per million
    assert found["what_if"]["cost_usd"] == usd("0.00057") and found["actual"]["cost_usd"] == usd("0.007")
    vendor = "For 2 requests, the price of the model's vendor is used: their own provider has no price under this name."
    assert vendor in found["notes"]


@pytest.mark.parametrize(
    ("to", "options", "cost", "notes"),
    [
        # 1,000 x 4 + 20,000 x 0.4 + 3,000 x 5 + 500 x 20, per million; the price row has no price of 1-hour writes
        ("gpt-5.6-sol", (), "0.037", ["The 1-hour cache writes of 1 request have the price of 5-minute writes"]),
        # before August 21: 1,000 x 5 + 20,000 x 0.5 + 3,000 x 6.25 + 500 x 30, per million
        (
            *("gpt-5.6-sol", ("--at", "2026-08-20"), "0.04875"),
            ["The 1-hour cache writes of 1 request have the price of 5-minute writes"],
        ),
        # 1,000 x 2.5 + 20,000 x 0.25 + 3,000 x 2.5 + 500 x 15, per million
        ("gpt-5.4", (), "0.0225", ["The cache writes of 1 request have the price of uncached input"]),
        # 24,000 x 8 + 500 x 24, per million
        (
            *("claude-2", (), "0.204"),
            [f"The cache {kind}s of 1 request have the price of uncached input" for kind in ("read", "write")],
        ),
        # its cache prices are lower
        ("claude-opus-4-5", (), "0.05", []),
    ],
)
def test_cached_tokens_have_the_nearest_price_that_the_list_has(
    to: str, options: tuple[str, ...], cost: str, notes: list[str], copy: Mart
) -> None:
    found = copy.json("whatif", "--from", "claude-opus-4-5", "--since", "2026-10-20", "--to", to, *options)
    assert found["what_if"]["cost_usd"] == usd(cost) and found["requests"]["chosen"] == 1
    ends = ": the price list has no other price for them."
    assert [note for note in found["notes"] if note.endswith(ends)] == [note + ends for note in notes]


def test_the_own_provider_comes_before_the_vendor(copy: Mart) -> None:
    found = copy.json("whatif", "--team", "cloud", "--to", "claude-haiku-4-5-20251001")
    # 1,000 x 1.1 + 100 x 5.5 per million; the vendor's prices are 1 and 5
    assert found["what_if"]["cost_usd"] == usd("0.00165") and "aws/" in found["price_id"]
    assert not any("vendor" in note for note in found["notes"])


@pytest.mark.parametrize(
    ("override", "cost", "price", "is_used"),
    [
        # half of 0.00165
        ("'ours', 'aws', 'claude-haiku-%', 0.5, null, null", "0.000825", "aws/", True),
        # not at the own provider
        ("'ours', 'anthropic', 'claude-haiku-%', 0.5, null, null", "0.00165", "aws/", False),
        # 1,000 x 2 + 100 x 4, per million
        ("'ours', null, 'claude-haiku-%', null, 2, 4", "0.0024", "ours", True),
    ],
)
def test_your_own_prices_also_hold_for_another_model(
    override: str, cost: str, price: str, is_used: bool, copy: Mart
) -> None:
    columns = "override_id, provider, model_pattern, discount_share, input_usd_per_million, output_usd_per_million"
    copy.query(f"insert into marts.price_overrides ({columns}) values ({override})")
    found = copy.json("whatif", "--team", "cloud", "--to", "claude-haiku-4-5-20251001")
    assert found["what_if"]["cost_usd"] == usd(cost) and found["price_id"].startswith(price)
    note = "For 1 request, your own prices or discounts (price_overrides) are used."
    assert (note in found["notes"]) == is_used


def test_another_provider_has_its_own_prices(copy: Mart) -> None:
    found = copy.json("whatif", "--provider", "Anthropic", "--to-provider", "bedrock")
    # of "cached" 1,000 x 5.5 + 20,000 x 0.55 + 2,000 x 6.875 + 1,000 x 11 + 500 x 27.5, per million: 0.055
    # of "reported" 1,000 x 5.5 + 100 x 27.5: 0.00825
    assert found["what_if"]["cost_usd"] == usd("0.06325") and found["requests"]["compared"] == 2
    assert found["left_out"] == [
        "Left out: 1 request, because the log does not have their tokens.",
        "Left out: 1 request, because the price list has no price for their web searches.",
    ]


def test_a_request_with_only_a_reported_cost_has_no_actual_parts(copy: Mart) -> None:
    found = copy.json("whatif", "--team", "acme", "--to", "gpt-4o")
    # 1,000 x 2.5 + 100 x 10, per million
    assert found["actual"]["cost_usd"] == usd("0.25") and found["what_if"]["cost_usd"] == usd("0.0035")
    assert found["actual"]["computed_cost_usd"] is None and found["actual"]["input_cost_usd"] is None
    assert found["requests"] == {
        "chosen": 2,
        "compared": 1,
        "without_tokens": 0,
        "without_price": 0,
        "without_actual_cost": 1,
        "with_reported_cost": 1,
        "without_actual_parts": 1,
    }
    assert found["left_out"] == ["Left out: 1 request, because their actual cost is unknown."]
    assert found["notes"][-1] == (
        "The parts of the actual cost do not include 1 request, for which only the reported cost is known."
    )
    shown = copy.run("whatif", "--team", "acme", "--to", "gpt-4o").stdout
    assert [line.split() for line in shown.splitlines() if line.startswith(("uncached", "cost"))] == [
        ["uncached", "input", "1,000", "0.0025"],
        ["cost", "0.2500", "0.0035", "-0.2465", "-98.6%"],
    ]


def test_all_requests_at_their_own_prices_cost_what_is_stored(copy: Mart) -> None:
    before = copy.query("select * from marts.llm_requests order by event_id")
    found = copy.json("whatif", "--to-tier", "standard")
    # 0.05 + 0.0235 + 0.0456 + 0.0414 + 2 x 0.0035 + 0.00495, and of "reported" 0.0075, or the reported 0.5
    assert found["what_if"]["cost_usd"] == found["actual"]["computed_cost_usd"] == usd("0.17995")
    assert found["actual"]["cost_usd"] == usd("0.67245") and found["requests"]["chosen"] == 11
    # 2 searches x 0.01
    assert found["what_if"]["web_search_cost_usd"] == usd("0.02") == found["actual"]["web_search_cost_usd"]
    assert found["requests"]["compared"] == 8 and found["requests"]["without_price"] == 2
    assert copy.query("select * from marts.llm_requests order by event_id") == before


@pytest.mark.parametrize(
    "options",
    [
        ("--team", "it's \\ é"),
        ("--user", "ada", "--project", "atlas", "--provider", "anthropic"),
        ("--until", "2026-10-01", "--from", "claude-opus"),
        ("--since", "2026-10-01", "--until", "2026-10-19", "--from", "claude-opus"),
    ],
)
def test_only_the_chosen_requests_count(options: tuple[str, ...], copy: Mart) -> None:
    found = copy.json("whatif", "--to", "claude-sonnet-4-5", *options)
    assert (found["requests"]["chosen"], found["requests"]["compared"]) == (2, 1)
    assert found["what_if"]["cost_usd"] == usd("0.0045")


def test_unattributed_requests_can_be_chosen(copy: Mart) -> None:
    assert copy.json("whatif", "--user", "unattributed", "--without-cache")["requests"]["chosen"] == 9


# ---------------------------------------------------------------- errors

SONNET = ("--to", "claude-sonnet-4-5")


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (("--from", "gpt-4o"), "Nothing is changed.", "--to-tier"),
        (("--to", ""), "Nothing is changed.", "--to"),
        ((*SONNET, "--team", " "), "' ' is not a name.", None),
        ((*SONNET, "--from", "\udcff"), "is not a name.", None),
        (("--at", "2026-02-30"), "--at 2026-02-30 is not a date.", "2026-01-31"),
        (("--at", "20260131"), "--at 20260131 is not a date.", "2026-01-31"),
        (("--at", "1999-12-31"), "--at 1999-12-31 is not between 2000-01-01 and 2099-12-31.", None),
        ((*SONNET, "--since", "yesterday"), "--since yesterday is not a date.", None),
        ((*SONNET, "--until", "2026-13-01"), "--until 2026-13-01 is not a date.", None),
        (
            (*SONNET, "--since", "2026-10-02", "--until", "2026-10-01"),
            "--until 2026-10-01 is before --since 2026-10-02.",
            None,
        ),
        (
            (*SONNET, "--from", "opus"),
            "No request is of the model opus.",
            "Did you mean claude-opus, claude-opus-4-5 or claude",
        ),
        ((*SONNET, "--from", "o1"), "No request is of the model o1.", None),
        ((*SONNET, "--provider", "antropic"), "No request is of the provider antropic.", "anthropic"),
        ((*SONNET, "--team", "serch"), "No request is of the team serch.", "search"),
        ((*SONNET, "--team", "x' or '1' = '1"), "No request is of the team x' or '1' = '1.", None),
        ((*SONNET, "--user", "ad"), "No request is of the user ad.", "Did you mean ada?"),
        ((*SONNET, "--project", "zzz"), "No request is of the project zzz.", None),
        (
            ("--to-tier", "bach"),
            "does not have the service tier bach.",
            "It has batch, fast, flex, priority, standard.",
        ),
        ((*SONNET, "--to-provider", "antropic"), "does not have the provider antropic.", "anthropic"),
    ],
)
def test_wrong_options_are_refused(options: tuple[str, ...], message: str, hint: str | None, copy: Mart) -> None:
    refused = copy.run("whatif", *options, code=2)
    assert refused.stdout == "" and message in refused.stderr and "Traceback" not in refused.stderr
    assert hint is None or hint in refused.stderr.partition("\n")[2]
    answer = copy.json("whatif", *options, code=2)
    assert message in answer["error"] and answer["exit_code"] == 2


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        (
            ("--team", "search", "--since", "2026-10-02", *SONNET),
            "There are no requests of the team search since 2026-10-02.",
            "The marts have 11 requests, from 2026-10-01 to 2026-10-20.",
        ),
        (
            ("--team", "search", "--to", "claude-sonet-4-5"),
            "The price list has no price for the model claude-sonet-4-5.",
            "Similar names that have a price: claude-sonnet-4-5,",
        ),
        (("--team", "search", "--to", "{{ 1 }}' \\"), "has no price for the model {{ 1 }}' \\.", "No similar name has"),
        (
            ("--team", "search", "--to", "claude-opus-4-5", "--to-provider", "openrouter"),
            "The price list has no price for the model claude-opus-4-5 at the provider openrouter.",
            "There its name is anthropic/claude-opus-4.5",
        ),
        (
            ("--team", "search", "--to", "claude-haiku-4-5", "--to-provider", "aws"),
            "The price list has no price for the model claude-haiku-4-5 at the provider aws.",
            "There its name is claude-haiku-4-5-20251001",
        ),
        (
            ("--team", "search", "--to", "qwen-3-coder-480b"),
            "The price list has no price for the model qwen-3-coder-480b.",
            "name",
        ),
        (
            ("--team", "search", "--to", "qwen-3-coder-480b", "--to-provider", "cerebras"),
            "The price list has no price for the model qwen-3-coder-480b at the provider cerebras.",
            "name",
        ),
        (
            ("--team", "acme", "--to-provider", "openai"),
            "The price list has no price for these requests at the provider openai.",
            "--to sets the name of the model at this provider.",
        ),
        (
            ("--from", "claude-haiku-4-5", "--to-provider", "aws"),
            "The price list has no price for web searches with these requests at the provider aws.",
            "",
        ),
    ],
)
def test_a_comparison_without_requests_or_prices_is_refused(
    options: tuple[str, ...], message: str, hint: str, copy: Mart
) -> None:
    refused = copy.run("whatif", *options, code=2)
    assert refused.stdout == "" and refused.stderr.startswith("Failed: ")
    assert message in refused.stderr and hint in refused.stderr.partition("\n")[2]


def test_requests_that_cannot_be_compared_are_an_error(copy: Mart) -> None:
    copy.query("delete from marts.llm_requests where event_id not in ('no tokens', 'unpriced')")
    failed = copy.json("whatif", "--to", "gpt-4o", code=1)
    assert failed["error"] == (
        "No request can be compared. Left out: 1 request, because the log does not have their tokens."
        " Left out: 1 request, because their actual cost is unknown."
    )


def test_the_marts_must_be_built(mart: Mart) -> None:
    assert "Nothing has been loaded" in mart.json("whatif", *SONNET, code=1)["error"]
    mart.run("load", mart.write("log.jsonl", tokenledger("a")))
    assert mart.json("whatif", *SONNET, code=1)["error"] == "There is no table llm_requests in the schema marts."


def test_all_costs_are_texts_with_twelve_decimal_places(copy: Mart) -> None:
    printed = json.loads(copy.run("whatif", "--team", "search", *SONNET, "--json").stdout)
    amounts = [*printed["actual"].values(), *printed["what_if"].values(), printed["difference_usd"]]
    assert {len(amount.partition(".")[2]) for amount in amounts} == {12}
