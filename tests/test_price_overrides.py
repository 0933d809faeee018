"""Own prices and discounts give the same costs on every warehouse. The figures are worked out by hand."""

from decimal import Decimal
from pathlib import Path

import pytest

from conftest import as_lines, copy_project, tokenledger
from targets import OTHERS, engine

OVERRIDES = [
    "contract,openai,%,,,,,,0.125,,,,,,,",
    "search,,gpt-4o%,,search,,,,,0.1,,,,0.3,0.01,",
    "home,home,%,,,,,,,0,,,,0,,",
    "opus,anthropic,claude-opus%,,,,,,0.333,,,,,,,",
    "one day,openai,gpt-4o-mini%,,,,2026-10-02,2026-10-03,,9,,,,9,,",
]
TOKENS = {"input_tokens": 1_000_000, "cached_tokens": 300_000, "output_tokens": 1_000}
# each request, its cost, and its row of price_overrides
REQUESTS = {
    # (700,000 x 0.15 + 300,000 x 0.075 + 1,000 x 0.60) per million; prices less 12.5%: 0.13125, 0.065625, 0.525
    "discount": ({}, "0.1120875", "contract"),
    # 1,000,000 x 0.1 + 1,000 x 0.3 per million, and the fee
    "team": ({"team": "search"}, "0.1103", "search"),
    "local": ({"provider": "home", "model": "llama:8b"}, "0", "home"),
    # the vendor's discount does not hold for Azure: 0.128100
    "passed on": ({"provider": "azure"}, "0.1281", None),
    # 5, 0.5 and 25 less 33.3%: 700,000 x 3.335 + 300,000 x 0.3335 + 1,000 x 16.675
    "no provider": ({"provider": None, "model": "claude-opus-4-5"}, "2.451225", "opus"),
    # 1,001,000 x 9
    "day": ({"timestamp": "2026-10-02T00:00:00Z"}, "9.009", "one day"),
    "unknown": ({"provider": "nowhere", "model": "unheard-of"}, None, None),
}


@pytest.mark.parametrize("name", ["duckdb", *OTHERS])
def test_own_prices_give_the_same_costs_on_every_warehouse(name: str, tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    with (project / "seeds/price_overrides.csv").open("a") as seed:
        seed.write("\n".join(OVERRIDES) + "\n")
    log = tmp_path / "log.jsonl"
    log.write_bytes(as_lines(*(tokenledger(event_id, **TOKENS | line) for event_id, (line, *_) in REQUESTS.items())))
    with engine(name, tmp_path / name) as on:
        on.run("load", log)
        here = ("--select", "+llm_requests", "--exclude-resource-type", "unit_test", "test")
        on.dbt("build", *here, "--project-dir", str(project))
        found = on.query("select event_id, computed_cost_usd, price_override_id from {marts}.llm_requests")
        costs = {event_id: (cost, override or None) for event_id, cost, override in found}
        explained = on.run("explain", "team", "--project-dir", project).stdout
    assert costs == {
        event_id: (None if cost is None else Decimal(cost), override)
        for event_id, (_, cost, override) in REQUESTS.items()
    }
    assert "0.1103" in explained and "wrong" not in explained
