"""focus_costs has every cost once, and its export obeys FOCUS, also for the FinOps Foundation's own validator."""

import csv
import datetime as dt
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from conftest import PROJECT, Mart, tokenledger
from marts import run
from tokenmart.focus import focus_name, focus_table
from warehouses import FOLDER, python_of

Charge = dict[str, str]

# in FOCUS 1.2, these columns must be there; those of the second group may be null
REQUIRED = [
    *("BilledCost", "BillingAccountId", "BillingCurrency", "BillingPeriodEnd", "BillingPeriodStart"),
    *("ChargeCategory", "ChargeFrequency", "ChargePeriodEnd", "ChargePeriodStart", "ContractedCost"),
    *("EffectiveCost", "InvoiceIssuerName", "ListCost", "ProviderName", "PublisherName", "ServiceCategory"),
    *("ServiceName", "ServiceSubcategory"),
]
NULLABLE = [
    *("BillingAccountName", "ChargeClass", "ChargeDescription", "ConsumedQuantity", "ConsumedUnit"),
    *("ContractedUnitPrice", "InvoiceId", "ListUnitPrice", "PricingCategory", "PricingQuantity", "PricingUnit"),
    *("RegionId", "RegionName", "SkuId", "SkuMeter", "SkuPriceDetails", "SkuPriceId", "Tags"),
]
OF_USAGE = (
    "ConsumedQuantity",
    "ConsumedUnit",
    "PricingCategory",
    "PricingQuantity",
    "PricingUnit",
    "SkuId",
    "SkuPriceId",
)
ALLOWED = {
    "BillingCurrency": {"USD"},
    "ChargeCategory": {"Usage", "Purchase", "Tax", "Credit", "Adjustment"},
    "ChargeFrequency": {"One-Time", "Recurring", "Usage-Based"},
    "PricingCategory": {"", "Standard", "Dynamic", "Committed", "Other"},
    "ServiceCategory": {"AI and Machine Learning"},
    "ServiceSubcategory": {"Generative AI"},
}
# a fee, a difference between both costs, a reported cost without a price, a free model, no cost, and a web search
LINES = [
    tokenledger("fee", "2026-10-31T23:30:00Z", provider="perplexity", model="sonar-pro", team='a "b" \\ c'),
    tokenledger("difference", "2026-10-31T22:30:00Z", cost_usd=0.000211),
    tokenledger("reported", "2026-10-31T23:30:00Z", provider="own", model="own", cost_usd=0.25),
    tokenledger("free", provider="openrouter", model="deepseek/deepseek-r1:free"),
    tokenledger("unpriced", provider="own", model="own"),
]
SEARCH = {
    "type": "assistant",
    "sessionId": "s1",
    "timestamp": "2026-10-31T23:30:00Z",
    "message": {
        "id": "search",
        "model": "claude-opus-4-5",
        "usage": {"input_tokens": 1000, "output_tokens": 10, "server_tool_use": {"web_search_requests": 3}},
    },
}


@pytest.fixture(scope="module")
def built(make_mart: Callable[[str], Mart]) -> Iterator[Mart]:
    """A target with the examples and the lines above, built with the dates of Berlin."""
    mart = make_mart("focus")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENMART_REPORTING_TIME_ZONE", "Europe/Berlin")
        patch.setenv("DBT_TARGET_PATH", str(mart.folder / "target"))
        lines, search = mart.write("lines.jsonl", *LINES), mart.write("search.jsonl", SEARCH)
        run(mart, "run", PROJECT / "examples", lines, search)
        yield mart


@pytest.fixture(scope="module")
def exported(built: Mart) -> Path:
    """The whole of focus_costs, exported as a file."""
    file = built.folder / "focus.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENMART_DUCKDB_PATH", str(built.path))
        file.write_text(built.run("query", "select * from focus_costs", "--focus").stdout)
    return file


@pytest.fixture(scope="module")
def charges(exported: Path) -> list[Charge]:
    with exported.open(newline="") as file:
        return list(csv.DictReader(file))


# ---------------------------------------------------------------- the costs


def test_the_charges_of_each_day_add_up_to_the_last_digit(built: Mart) -> None:
    costs = built.query("select usage_date, cost_usd from marts.daily_costs where cost_usd is not null order by all")
    assert len(costs) > 25 and sum(cost for _, cost in costs) > 10
    for column in ("billed_cost", "effective_cost", "list_cost", "contracted_cost"):
        sums = f"select x_usage_date, sum({column}) from marts.focus_costs group by all order by all"
        assert built.query(sums) == costs, column


def test_charges_are_of_utc_days_in_any_reporting_time_zone(built: Mart) -> None:
    by_utc_day = (
        "select cast({} as date) as day, sum({}) from marts.{} group by all having sum({}) is not null order by all"
    )
    charged = built.query(by_utc_day.format("charge_period_start", "billed_cost", "focus_costs", "billed_cost"))
    assert charged == built.query(by_utc_day.format("occurred_at", "cost_usd", "llm_requests", "cost_usd"))
    days = built.query("select usage_date, sum(cost_usd) from marts.daily_costs group by all order by all")
    assert charged != [day for day in days if day[1] is not None]


def test_charges_separate_the_attribution(built: Mart) -> None:
    by_team = "select coalesce({0}, 'unattributed') as team, sum({1}) as cost from marts.{2} group by all order by all"
    assert built.query(by_team.format("x_team", "billed_cost", "focus_costs")) == [
        (team, cost)
        for team, cost in built.query(by_team.format("team", "cost_usd", "daily_costs_by_attribution"))
        if cost is not None
    ]


def test_each_kind_of_charge_is_exported(charges: list[Charge]) -> None:
    costs = {kind: Decimal(0) for kind in (charge["x_ChargeKind"] for charge in charges)}
    for charge in charges:
        costs[charge["x_ChargeKind"]] += Decimal(charge["BilledCost"])
    parts = {"input", "cache_read", "cache_write", "output", "request", "web_search"}
    assert costs.keys() == {*parts, "reported", "difference"}
    # 14 for 1,000 requests; 3 x 0.01; 0.25 and those of the examples
    # 0.000211 - (1,000 x 0.15 + 100 x 0.60) / 1,000,000
    assert costs["request"] == Decimal("0.014") and costs["web_search"] == Decimal("0.03")
    assert costs["difference"] == Decimal("0.000001") and costs["reported"] > Decimal("0.25")
    (own,) = [charge for charge in charges if charge["x_Model"] == "own"]
    assert own["x_Tokens"] == "1100" and own["ConsumedQuantity"] == "1.000000000000"
    (free,) = {charge["BilledCost"] for charge in charges if charge["x_Model"].endswith(":free")}
    assert Decimal(free) == 0


# ---------------------------------------------------------------- the specification


def faults(charges: list[Charge]) -> Iterator[str]:
    """The rules of FOCUS 1.2 that charges break and that version 1.0 does not have or its validator does not check."""
    names = list(charges[0])
    yield from (f"no {name}" for name in (*REQUIRED, *NULLABLE) if name not in names)
    own = [name.startswith("x_") for name in names]
    if own != sorted(own):
        yield "a custom column comes before a column of FOCUS"
    yield from (f"the name {name}" for name in names if not re.fullmatch(r"(x_)?([A-Z][a-z]+)+", name))
    for charge in charges:
        is_usage, is_reported = charge["ChargeCategory"] == "Usage", charge["x_ChargeKind"] == "reported"
        yield from (f"{name} is null" for name in REQUIRED if not charge[name])
        yield from (f"{name} is {charge[name]}" for name, values in ALLOWED.items() if charge[name] not in values)
        yield from (f"{name} of a usage is null" for name in OF_USAGE if is_usage and not charge[name])
        for name in names:
            if name.endswith(("PeriodStart", "PeriodEnd")) and not re.fullmatch(
                r"\d{4}-\d\d-\d\dT00:00:00Z", charge[name]
            ):
                yield f"{name} is {charge[name]}"
        for start, end in (("BillingPeriodStart", "ChargePeriodStart"), ("ChargePeriodStart", "ChargePeriodEnd")):
            if not charge[start] <= charge[end]:
                yield f"{start} is after {end}"
        if not charge["ChargePeriodEnd"] <= charge["BillingPeriodEnd"]:
            yield "the charge period ends after the billing period"
        for quantity, unit in (("ConsumedQuantity", "ConsumedUnit"), ("PricingQuantity", "PricingUnit")):
            if bool(charge[quantity]) != bool(charge[unit]):
                yield f"only one of {quantity} and {unit}"
        for price, cost in (("ListUnitPrice", "ListCost"), ("ContractedUnitPrice", "ContractedCost")):
            # the unit price of a reported cost is unknown
            if is_usage and bool(charge[price]) == is_reported:
                yield f"{price} of {charge['x_ChargeKind']}"
            if charge[price]:
                product = Decimal(charge[price]) * Decimal(charge["PricingQuantity"])
                if abs(product - Decimal(charge[cost])) > Decimal("1e-12") * max(1, Decimal(charge["PricingQuantity"])):
                    yield f"{price} times PricingQuantity is {product}, not {charge[cost]}"
    parents: dict[str, set[str]] = {}
    for charge in charges:
        parents.setdefault(charge["SkuPriceId"], set()).add(charge["SkuId"])
    yield from (f"{price} has the SkuIds {skus}" for price, skus in parents.items() if len(skus) > 1)


def test_an_export_obeys_focus_1_2(charges: list[Charge]) -> None:
    assert list(faults(charges)) == []


@pytest.mark.parametrize(
    ("column", "value", "fault"),
    [
        ("BilledCost", "", "BilledCost is null"),
        ("ServiceSubcategory", "Chat", "ServiceSubcategory is Chat"),
        ("ChargePeriodStart", "2026-10-01 00:00:00", "ChargePeriodStart is 2026-10-01 00:00:00"),
        ("ChargePeriodEnd", "2099-01-01T00:00:00Z", "the charge period ends after the billing period"),
        ("PricingUnit", "", "only one of PricingQuantity and PricingUnit"),
        ("ListCost", "7", "ListUnitPrice times PricingQuantity"),
        ("SkuId", "other", "has the SkuIds"),
    ],
)
def test_a_charge_that_breaks_focus_1_2_is_noticed(column: str, value: str, fault: str, charges: list[Charge]) -> None:
    prices = Counter(charge["SkuPriceId"] for charge in charges)
    first = next(charge for charge in charges if charge["x_ChargeKind"] == "input" and prices[charge["SkuPriceId"]] > 1)
    changed = [{**charge, column: value} if charge is first else charge for charge in charges]
    assert any(fault in found for found in faults(changed)), list(faults(changed))


# ---------------------------------------------------------------- the validator

needs_validator = pytest.mark.skipif(
    sys.version_info >= (3, 13),
    reason="focus-validator 1.0.0 requires numpy below 2, which has no wheel for Python 3.13; use 3.12 or earlier",
)


def validate(charges: list[Charge], folder: Path) -> tuple[int, dict[str, str]]:
    """The number of rules of FOCUS 1.0 that the charges pass, and those that they break, with an example."""
    with (folder / "focus.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(charges[0]))
        writer.writeheader()
        writer.writerows(charges)
    script = [python_of("finops_validator"), FOLDER / "finops_validator.py", file.name]
    found = json.loads(subprocess.run(script, stdout=subprocess.PIPE, text=True, check=True).stdout)
    return found["passed"], found["broken"]


@needs_validator
def test_an_export_passes_the_validator(charges: list[Charge], tmp_path: Path) -> None:
    assert validate(charges, tmp_path) == (133, {})


@needs_validator
def test_the_validator_notices_what_is_wrong(charges: list[Charge], tmp_path: Path) -> None:
    names = [name for name in charges[0] if name not in ("BilledCost", "ProviderName")]
    wrong = [{name: charge[name] for name in names} for charge in charges]
    wrong[0] |= {"ChargePeriodStart": "2026-10-01 00:00:00", "ServiceCategory": "LLM", "EffectiveCost": ""}
    wrong[1] |= {"BillingCurrency": "Dollar", "ChargeCategory": "Usage", "SkuPriceId": "", "Tags": "team"}
    assert validate(wrong, tmp_path)[1].keys() == {
        *("BilledCost_Required", "Provider_Required", "ChargePeriodStart_IsDateTime", "ServiceCategory_Enum"),
        *("EffectiveCost_NotNull", "BillingCurrency_IsCurrencyCode", "SkuPriceId_Nullable", "Tags_IsJSONObject"),
    }


# ---------------------------------------------------------------- names and values


def test_tags_have_the_known_attribution_as_json(charges: list[Charge]) -> None:
    assert {charge["Tags"] for charge in charges if charge["x_Model"] == "own"} == {""}
    (tags,) = {charge["Tags"] for charge in charges if charge["x_Model"] == "sonar-pro"}
    assert json.loads(tags) == {"team": 'a "b" \\ c'}


def test_columns_and_times_are_written_as_focus_requires() -> None:
    assert list(map(focus_name, ("sku_id", "billed_cost", "x_team", "x_cost_center"))) == [
        *("SkuId", "BilledCost", "x_Team", "x_CostCenter")
    ]
    berlin = dt.datetime(2026, 10, 1, 2, tzinfo=dt.timezone(dt.timedelta(hours=2)))
    names, rows = focus_table(
        ["x_team", "sku_id", "charge_period_start"], [("ops", None, berlin), (None, "a", dt.datetime(2026, 10, 1))]
    )
    assert names == ["ChargePeriodStart", "SkuId", "Tags", "x_Team"]
    assert list(rows) == [
        ["2026-10-01T00:00:00Z", None, '{"team": "ops"}', "ops"],
        ["2026-10-01T00:00:00Z", "a", None, None],
    ]
    assert focus_table(["billed_cost"], [])[0] == ["BilledCost"]
