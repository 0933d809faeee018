"""Works out what stored requests would cost with another model, provider, service tier or date, or without caching.

The query is the analysis what_if of the dbt project, which finds prices by the same rules as the models.
"""

import datetime as dt
import difflib
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from tokenmart.dbt_runner import run_dbt
from tokenmart.destinations import Warehouse, connect, one_line, select
from tokenmart.errors import TokenmartError, UsageError
from tokenmart.marts import check_dates, check_marts, is_text
from tokenmart.profile import Target
from tokenmart.screen import counted

ANALYSIS, ARGUMENTS = "what_if", "TOKENMART_WHATIF"
"""The analysis, and the environment variable with the arguments of its macro whatif_costs, as JSON."""
STANDARD_TIERS = ("", "default", "auto", "standard", "on_demand", "standard_only")
"""The names of the standard tier, as in the macro service_tier_key."""
SUGGESTED, SEARCHED, SIMILARITY = 5, 10_000, 0.6
"""How many similar names are suggested, among how many, and how similar (0 to 1) they are at least."""

PARTS = (
    *("input_cost_usd", "cache_read_cost_usd", "cache_write_cost_usd", "output_cost_usd", "request_cost_usd"),
    "web_search_cost_usd",
)
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens")
COUNTED = (
    *("other_family", "other_model", "cache_read_as_input", "cache_write_as_input", "cache_write_1h_as_5m"),
    *("standard_priced", "vendor_priced", "overridden", "long_prompt", "reported", "uncomputed"),
)
"""The counts of requests that notes are about."""
NEEDED = {
    "llm_requests": (
        *("event_id", "usage_date", "provider", "model", "canonical_model", "model_family", "user_id", "team"),
        *("project", "price_override_id", "cost_without_cache_usd", "web_search_requests", *TOKENS, *PARTS),
    ),
    "model_names": ("provider", "model", "canonical_model"),
    "model_prices": ("provider", "model", "service_tier", "above_input_tokens"),
    "provider_aliases": ("alias", "provider"),
}
"""The tables of the marts schema that are read, and some of their columns."""

Row = dict[str, Any]
Chosen = dict[str, list[str]]
"""Values by column of llm_requests: the requests that have one of the values in each column."""


@dataclass(frozen=True)
class Asked:
    """Which requests are compared, and what is changed. What is None is not limited or not changed.

    `since` and `until` are dates (yyyy-mm-dd) in the reporting time zone, both included. `at` is the date whose prices
    are used.
    """

    from_model: str | None = None
    since: str | None = None
    until: str | None = None
    team: str | None = None
    user: str | None = None
    project: str | None = None
    provider: str | None = None
    to_model: str | None = None
    to_provider: str | None = None
    to_tier: str | None = None
    at: str | None = None
    without_cache: bool = False


@dataclass(frozen=True)
class WhatIf:
    """Actual and hypothetical costs of the compared requests: those for which both are known.

    `chosen` has the values of columns of llm_requests that choose the requests. `requests` counts them, the compared
    ones, and the others by what is unknown. `tokens` are those of the log. `actual` and `what_if` have cost_usd, its
    parts, and cost_without_cache_usd; `actual` also has computed_cost_usd, which is the sum of its parts. Costs are in
    USD, with twelve decimal places. `difference_usd` is the hypothetical minus the actual cost, and `difference_rate`
    its share of the actual cost; None if that is 0. `price_id` is the row of the price list, or of price_overrides if
    that has the prices, if all requests have the same. `left_out` and `notes` are sentences: why requests are not
    compared, and what is different or less certain at other prices.
    """

    asked: Asked
    chosen: Chosen
    first_date: dt.date
    last_date: dt.date
    requests: dict[str, int]
    tokens: dict[str, int]
    actual: dict[str, Decimal | None]
    what_if: dict[str, Decimal | None]
    difference_usd: Decimal
    difference_rate: float | None
    price_rows: int
    price_id: str | None
    left_out: list[str]
    notes: list[str]

    @property
    def has_same_parts(self) -> bool:
        """Whether all compared requests have an actual computed cost, so that its parts can be compared."""
        return not self.requests["without_actual_parts"]


def check_options(asked: Asked) -> None:
    """Raises UsageError if nothing is changed, or if a text or a date is invalid."""
    if not (asked.to_model or asked.to_provider or asked.to_tier or asked.at or asked.without_cache):
        raise UsageError(
            "Nothing is changed.", "Give at least one of --to, --to-provider, --to-tier, --at and --without-cache."
        )
    for value in asdict(asked).values():
        if isinstance(value, str) and not (value.strip() and is_text(value)):
            raise UsageError(f"{one_line(ValueError(repr(value)))} is not a name.")
    check_dates({"--at": asked.at, "--since": asked.since, "--until": asked.until})


def choose(warehouse: Warehouse, target: Target, asked: Asked) -> Chosen:
    """Finds the values that choose the requests, and checks the new provider and tier.

    Raises UsageError for a name that no request has, and for a provider or tier that the price list does not have.
    Raises TokenmartError if the marts are not built, or were built by an older version.
    """
    check_marts(warehouse, target, NEEDED)
    _check_new_names(warehouse, target, asked)
    return _chosen_values(warehouse, target, asked)


def what_if(target: Target, asked: Asked, chosen: Chosen) -> WhatIf:
    """Compares the actual costs of the chosen requests with their costs under the changed conditions. Writes nothing.

    No connection may be open. Raises UsageError if there are no such requests, or if the price list has no price for
    them, and TokenmartError if none can be compared.
    """
    with select(target, _query(target, asked, chosen)) as answer:
        row = _row(answer.columns, next(answer.rows))
    if not row["requests"]:
        raise _without_requests(target, asked)
    if not row["compared_requests"]:
        raise _without_comparison(target, asked, row)
    return _result(asked, chosen, row)


# ---------------------------------------------------------------- what is asked for


def _chosen_values(warehouse: Warehouse, target: Target, asked: Asked) -> Chosen:
    table = f"{target.marts_schema}.llm_requests"
    chosen: Chosen = {}
    if asked.from_model:
        columns = ("canonical_model", "model_family", "model")
        names = warehouse.query(f"select distinct {', '.join(columns)} from {table}")
        for number, column in enumerate(columns):
            # a name that is a model and a family, such as gpt-4o, is the model
            if found := _same({row[number] for row in names}, asked.from_model):
                chosen[column] = found
                break
        else:
            near = _suggestion(asked.from_model, {name for row in names for name in row})
            raise UsageError(f"No request is of the model {asked.from_model}.", near)
    if asked.provider:
        providers = {row[0] or "unattributed" for row in warehouse.query(f"select distinct provider from {table}")}
        chosen["provider"] = _same(providers, asked.provider)
        if not chosen["provider"]:
            raise UsageError(f"No request is of the provider {asked.provider}.", _suggestion(asked.provider, providers))
    for option, column in (("team", "team"), ("user", "user_id"), ("project", "project")):
        if (value := getattr(asked, option)) is not None:
            chosen[column] = [value]
            known = f"coalesce({column}, 'unattributed')"
            if not warehouse.query(f"select 1 from {table} where {known} = {warehouse.literal(value)} limit 1"):
                query = f"select {known} from {table} group by {known} order by count(*) desc limit {SEARCHED}"
                near = _suggestion(value, (row[0] for row in warehouse.query(query)))
                raise UsageError(f"No request is of the {option} {value}.", near)
    return chosen


def _check_new_names(warehouse: Warehouse, target: Target, asked: Asked) -> None:
    """Raises UsageError if the price list does not have the service tier or the provider."""
    marts = target.marts_schema
    if asked.to_tier and asked.to_tier.lower() not in STANDARD_TIERS:
        query = f"select distinct service_tier from {marts}.model_prices"
        tiers = {"standard", *(row[0] for row in warehouse.query(query) if row[0])}
        if asked.to_tier.lower() not in tiers:
            hint = f"It has {', '.join(sorted(tiers))}."
            raise UsageError(f"The price list does not have the service tier {asked.to_tier}.", hint)
    if asked.to_provider:
        columns = {"model_names": "provider", "model_prices": "provider", "provider_aliases": "alias"}
        queries = [f"select distinct {column} from {marts}.{table}" for table, column in columns.items()]
        known = {row[0] for query in queries for row in warehouse.query(query)}
        if asked.to_provider.lower() not in known:
            near = _suggestion(asked.to_provider, known)
            raise UsageError(f"The price list does not have the provider {asked.to_provider}.", near)


def _query(target: Target, asked: Asked, chosen: Chosen) -> str:
    """The SQL of the comparison, compiled by dbt without a connection to the warehouse."""
    arguments = {
        "to_model": asked.to_model,
        "to_provider": asked.to_provider,
        "to_tier": asked.to_tier,
        "at": asked.at,
        "is_cached": not asked.without_cache,
        "since": asked.since,
        "until": asked.until,
        "where": chosen,
    }
    # the macro works only in a node of its own package, so an inline query could not call it in another project
    command = ["compile", "--select", f"package:tokenmart,{ANALYSIS}", "--no-populate-cache", "--no-introspect"]
    with _environment(ARGUMENTS, json.dumps(arguments)):
        run = run_dbt(target, command, on_node=lambda *_: None, on_message=lambda _: None, check=lambda: None)
    for result in run.results:
        if result.node.name == ANALYSIS and result.node.compiled_code:
            return str(result.node.compiled_code)
    problems = [str(result.message) for result in run.results if result.message]
    raise TokenmartError(" ".join(problems) or f"dbt has not compiled the analysis {ANALYSIS}.")


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]


# ---------------------------------------------------------------- names


def _same(names: Iterable[str | None], name: str) -> list[str]:
    """The names that differ from `name` at most in case."""
    return sorted(known for known in names if known and known.lower() == name.lower())


def _suggestion(name: str, names: Iterable[str | None]) -> str | None:
    """A sentence with the most similar names; None if no name is similar."""
    near = _near(name, names)
    return f"Did you mean {_either(near)}?" if near else None


def _near(name: str, names: Iterable[str | None]) -> list[str]:
    """The names that contain `name`, shortest first, and then those that are spelled similarly."""
    known = {other.lower(): other for other in names if other}
    containing = sorted((other for other in known if name.lower() in other), key=lambda other: (len(other), other))
    spelled = difflib.get_close_matches(name.lower(), list(known), SUGGESTED, SIMILARITY)
    return [known[other] for other in dict.fromkeys([*containing, *spelled])][:SUGGESTED]


def _either(names: list[str]) -> str:
    return " or ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


# ---------------------------------------------------------------- why there is no comparison


def _without_requests(target: Target, asked: Asked) -> UsageError:
    with connect(target, to_read=True) as warehouse:
        query = f"select count(*), min(usage_date), max(usage_date) from {target.marts_schema}.llm_requests"
        ((requests, first, last),) = warehouse.query(query)
    options = {"model": asked.from_model, "provider": asked.provider, "team": asked.team, "user": asked.user}
    options["project"] = asked.project
    of = " and ".join(f"the {name} {value}" for name, value in options.items() if value is not None)
    days = f"{f' since {asked.since}' if asked.since else ''}{f' until {asked.until}' if asked.until else ''}"
    hint = f"The marts have {counted(int(requests), 'request')}, from {first} to {last}." if requests else None
    return UsageError(f"There are no requests{' of ' if of else ''}{of}{days}.", hint)


def _without_comparison(target: Target, asked: Asked, row: Row) -> TokenmartError:
    if not row["unpriced_requests"]:
        return TokenmartError(" ".join(["No request can be compared.", *_left_out(asked, row)]))
    what = f"the model {asked.to_model}" if asked.to_model else "these requests"
    where = f" at the provider {asked.to_provider}" if asked.to_provider else ""
    when = f" on {asked.at}" if asked.at else ""
    if row["unpriced_search_requests"] == row["unpriced_requests"]:
        return UsageError(f"The price list has no price for web searches with {what}{where}{when}.")
    hint = "--to sets the name of the model at this provider." if asked.to_provider else None
    if asked.to_model:
        with connect(target, to_read=True) as warehouse:
            hint = _priced_names(warehouse, target, asked.to_model.lower(), asked.to_provider)
    return UsageError(f"The price list has no price for {what}{where}{when}.", hint)


def _priced_names(warehouse: Warehouse, target: Target, model: str, provider: str | None) -> str:
    """A sentence with the providers at which the model has a price, or with similar names that have one."""
    marts = target.marts_schema
    if provider:
        rows = warehouse.query(f"select alias, provider from {marts}.provider_aliases")
        aliases = {str(alias): str(own) for alias, own in rows}
        provider = aliases.get(provider.lower(), provider.lower())
    lists = _price_lists(warehouse, marts)
    owners = sorted(owner for owner, names in lists.items() if model in names.values())
    if provider in owners:
        same = sorted((name for name, common in lists[provider].items() if common == model), key=len)
        if model in same:
            return "--at sets the date whose prices are used."
        return f"There its name is {_either(same[:SUGGESTED])}."
    if owners and not provider:
        which = f"{', '.join(owners)}, perhaps on other dates"
        return f"It has a price at {which}. --to-provider sets the provider, and --at the date."
    everywhere = {common for names in lists.values() for common in names.values()}
    near = _near(model, lists.get(provider, {}) if provider else everywhere)
    return f"Similar names that have a price: {', '.join(near)}." if near else "No similar name has a price."


def _price_lists(warehouse: Warehouse, marts: str) -> dict[str, dict[str, str]]:
    """By provider: each name of a model with a price, and the name that the model has in common at all providers."""
    priced = {tuple(row) for row in warehouse.query(f"select distinct provider, model from {marts}.model_prices")}
    columns = "provider, model, model_pattern, canonical_model"
    named = [tuple(row) for row in warehouse.query(f"select {columns} from {marts}.model_names order by {columns}")]
    # a model that has only a price is found by exactly its name
    named += [(*row, row[1].lower(), row[1].lower()) for row in priced - {row[:2] for row in named}]
    lists: dict[str, dict[str, str]] = {}
    for provider, listed, pattern, common in named:
        name = pattern.strip("%")
        if (provider, listed) in priced and "%" not in name:
            lists.setdefault(provider, {})[name] = common
    return lists


# ---------------------------------------------------------------- the result


def _row(columns: Sequence[str], values: Sequence[Any]) -> Row:
    """The row of the query. Some warehouses have names in upper case, or decimals for integers."""
    row = dict(zip((name.lower() for name in columns), values, strict=True))
    return {
        name: int(value) if isinstance(value, Decimal) and not name.endswith("_usd") else value
        for name, value in row.items()
    }


def _result(asked: Asked, chosen: Chosen, row: Row) -> WhatIf:
    return WhatIf(
        asked=asked,
        chosen=chosen,
        first_date=row["first_date"],
        last_date=row["last_date"],
        requests={
            "chosen": row["requests"],
            "compared": row["compared_requests"],
            "without_tokens": row["unmetered_requests"],
            "without_price": row["unpriced_requests"],
            "without_actual_cost": row["uncosted_requests"],
            "with_reported_cost": row["reported_requests"],
            "without_actual_parts": row["uncomputed_requests"],
        },
        tokens={name: row[name] or 0 for name in (*TOKENS, "web_search_requests")},
        actual=_costs(row, "actual", "cost_usd", "computed_cost_usd", *PARTS, "cost_without_cache_usd"),
        what_if=_costs(row, "whatif", "cost_usd", *PARTS, "cost_without_cache_usd"),
        difference_usd=_money(row["difference_usd"]) or Decimal(0),
        difference_rate=float(row["difference_usd"] / row["actual_cost_usd"]) if row["actual_cost_usd"] else None,
        price_rows=row["price_rows"],
        price_id=row["first_price_name"] if row["price_rows"] == 1 else None,
        left_out=_left_out(asked, row),
        notes=_notes(asked, row),
    )


def _costs(row: Row, side: str, *names: str) -> dict[str, Decimal | None]:
    return {name: _money(row[f"{side}_{name}"]) for name in names}


def _money(value: Any) -> Decimal | None:
    # some warehouses leave out zeros at the end of a decimal
    return None if value is None else Decimal(value).quantize(Decimal("1e-12"))


def _left_out(asked: Asked, row: Row) -> list[str]:
    """Sentences with the numbers of the requests that are not compared."""
    searches = row["unpriced_search_requests"]
    when = f" on {asked.at}" if asked.at else ""
    reasons = {
        "the log does not have their tokens": row["unmetered_requests"],
        "the price list has no price for their web searches": searches,
        f"the price list has no price for them{when}": row["unpriced_requests"] - searches,
        "their actual cost is unknown": row["uncosted_requests"],
    }
    return [f"Left out: {counted(number, 'request')}, because {why}." for why, number in reasons.items() if number]


def _notes(asked: Asked, row: Row) -> list[str]:
    """Sentences about what is not the same, or less certain, at the other prices; only those that are true here."""
    of = {name: counted(row[f"{name}_requests"], "request") for name in COUNTED if row[f"{name}_requests"]}
    is_other = "other_model" in of
    is_cached = (row["cache_read_tokens"] or row["cache_write_tokens"]) and not asked.without_cache
    tier = f"the service tier {asked.to_tier}" if asked.to_tier else "their service tier"
    no_other = "the price list has no other price for them."
    notes = {
        f"The token counts are those of the log. For {of.get('other_family')}, the model is of another family, whose"
        " tokenizer may count the same text differently.": "other_family" in of,
        f"{row['reasoning_tokens'] or 0:,} of the output tokens are reasoning tokens. Another model may need more or"
        " fewer.": is_other and row["reasoning_tokens"],
        "The cached tokens are those of the log. Another model may cache more or fewer.": is_other and is_cached,
        f"The cache reads of {of.get('cache_read_as_input')} have the price of uncached input: {no_other}": (
            "cache_read_as_input" in of
        ),
        f"The cache writes of {of.get('cache_write_as_input')} have the price of uncached input: {no_other}": (
            "cache_write_as_input" in of
        ),
        f"The 1-hour cache writes of {of.get('cache_write_1h_as_5m')} have the price of 5-minute writes: {no_other}": (
            "cache_write_1h_as_5m" in of
        ),
        f"For {of.get('standard_priced')}, the standard price is used: the price list has no price for {tier}.": (
            "standard_priced" in of
        ),
        f"For {of.get('vendor_priced')}, the price of the model's vendor is used: their own provider has no price under"
        " this name.": "vendor_priced" in of,
        f"For {of.get('overridden')}, your own prices or discounts (price_overrides) are used.": "overridden" in of,
        f"For {of.get('long_prompt')}, the price for long prompts is used.": "long_prompt" in of,
        f"The actual cost of {of.get('reported')} is the cost that the log reports, which can include discounts. The"
        " other costs are computed from the price list.": "reported" in of,
        f"The parts of the actual cost do not include {of.get('uncomputed')}, for which only the reported cost is"
        " known.": "uncomputed" in of,
    }
    return [sentence for sentence, is_true in notes.items() if is_true]
