"""Makes model_prices.csv, the dbt seed of LLM prices, from the data of the genai-prices package.

    python seeds/make_model_prices.py

Prints what has changed in the list. If a price has changed without a date, the earlier price holds before
priced_as_of and the new one from that day on, so requests that were billed before keep their cost. Rows of
models that are not in genai-prices stay. A file without changes is written again as it is.

For one provider, model and service tier, no two rows hold for the same UTC day, minute of the UTC day and
number of input tokens (an empty bound is open):

    valid_from <= <day> < valid_to
    and from_minute <= <minute> < to_minute
    and above_input_tokens < <input tokens> <= up_to_input_tokens

The row that holds has the prices that genai-prices uses for the request. Whatever is left out is listed on
stderr.

- A service tier of a model has rows if genai-prices has price variants for it. A variant has only some of
  the prices, from some date on; all other prices are those of the standard tier. priced_tier is the tier
  that the prices of a row are of.
- Variants by route and by type of search are left out: no log says which was used.
- Only prices per token of text and per request are used. Models priced by the hour, page or character have
  no row. The extra prices of audio, images and searches, and of the reasoning of perplexity's deep
  research, are left out.
- Models without any price have no row, because genai-prices does not say whether they are free. There are
  two exceptions, in which all prices are 0: names that end in `:free`, and OpenRouter, which lists a free
  model without prices. Its music models are billed by the song, so they have no row.
- A model with a price for input and none for output, such as an embedding, has the output price 0: its
  output is not billed. UNLISTED_OUTPUT_PRICES are models whose output was billed all the same.
- FAST_MODE has the fast modes that genai-prices lacks, and WEB_SEARCH_PRICES the prices of web searches:
  Anthropic's are from platform.claude.com/docs/en/about-claude/pricing.
- Prices are rounded to six decimals. That removes the noise of upstream floats (0.18000000000000002) and
  keeps tokens x price per million exact at twelve decimals.
- priced_as_of is a lower bound. The package carries no date, but its OpenRouter prices follow a live
  catalogue and are dated on the day a change is found, not in advance; the newest such day is one on
  which the data was kept up.
"""

import csv
import io
import itertools
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from genai_prices import types
from genai_prices.data import providers

CSV_PATH = Path(__file__).with_name("model_prices.csv")

# The column of each price, its name in genai-prices, and the number of units that genai-prices' price is for.
PRICES = {
    "input_usd_per_million": ("input_mtok", 1),
    "cache_read_usd_per_million": ("cache_read_mtok", 1),
    "cache_write_usd_per_million": ("cache_write_mtok", 1),
    "cache_write_1h_usd_per_million": ("cache_write_1h_mtok", 1),
    "output_usd_per_million": ("output_mtok", 1),
    "request_usd": ("requests_kcount", 1000),
}
WEB_SEARCH = "web_search_usd"
COLUMNS = (
    *("price_id", "provider", "model", "service_tier", "valid_from", "valid_to", "from_minute", "to_minute"),
    *("above_input_tokens", "up_to_input_tokens", "priced_tier", *PRICES, WEB_SEARCH, "price_source", "priced_as_of"),
)

# Fast mode costs this many times the standard price, for cached input and for long prompts too.
FAST_MODE = {("anthropic", "claude-opus-4-6"): 6, ("anthropic", "claude-opus-4-7"): 6}
FAST_MODE_SOURCE, FAST_MODE_AS_OF = "platform.claude.com/docs/en/build-with-claude/fast-mode", date(2026, 11, 29)

# What a web search costs at a provider, in USD, for all of its models; genai-prices has no such prices.
WEB_SEARCH_PRICES = {"anthropic": "0.01"}

# Models of which genai-prices lacks the price of the output.
UNLISTED_OUTPUT_PRICES = {("azure", name) for name in ("ada", "babbage", "curie", "davinci")}

ORIGIN = ("price_source", "priced_as_of")

BILLED_BY_THE_SONG = "google/lyria-"

Edge = TypeVar("Edge", date, int)
Value = TypeVar("Value")
Interval = tuple[Edge | None, Edge | None, Value]
Rows = list[dict[str, str]]
"""Rows of the seed: a text for each column, which is empty if there is no value."""


class Priced(NamedTuple):
    """Prices in the order of PRICES, None where there is none, and the tier that they are of."""

    tier: str
    prices: tuple[Decimal | None, ...]


def tier_of(variant: types.PriceVariant) -> str | None:
    """The service tier of a price variant, None if it is a variant by something else or the standard tier."""
    match list(variant.when.items()):
        case [("processing", "batch")]:
            return "batch"
        case [("service_tier" | "speed", name)] if name != "default":
            return name
    return None


def conditions(model: types.ModelInfo) -> list[types.ConditionalPrice]:
    return [types.ConditionalPrice(prices=model.prices)] if isinstance(model.prices, types.ModelPrice) else model.prices


def values(prices: types.ModelPrice) -> list[Decimal | types.TieredPrices]:
    return [price for price in vars(prices).values() if price is not None]


def start_dates(model: types.ModelInfo) -> set[date]:
    """The days on which a price of the model starts."""
    rules = [price.constraint for price in (*conditions(model), *(model.price_variants or ()))]
    return {rule.start_date for rule in rules if isinstance(rule, types.StartDateConstraint)}


def minutes(model: types.ModelInfo) -> set[int]:
    """The minutes of the UTC day at which a price of the model starts or ends."""
    rules = [price.constraint for price in (*conditions(model), *(model.price_variants or ()))]
    times = [
        moment.astimezone(UTC)
        for rule in rules
        if isinstance(rule, types.TimeOfDateConstraint)
        for moment in (datetime.combine(date(2000, 1, 2), end) for end in (rule.start_time, rule.end_time))
    ]
    assert all((moment.second, moment.microsecond) == (0, 0) for moment in times)
    return {moment.hour * 60 + moment.minute for moment in times} - {0}


def intervals(edges: Iterable[Edge], value_from: Callable[[Edge | None], Value]) -> list[Interval[Edge, Value]]:
    """The intervals between the edges, each with its value; neighbors with equal values are one interval."""
    found: list[Interval[Edge, Value]] = []
    starts = [None, *sorted(edges)]
    for start, end in itertools.zip_longest(starts, starts[1:]):
        value = value_from(start)
        if found and found[-1][2] == value:
            found[-1] = (found[-1][0], end, value)
        else:
            found.append((start, end, value))
    return found


def prices_at(prices: types.ModelPrice, above: int | None, factor: int) -> tuple[Decimal | None, ...]:
    """The prices of a request with more than this number of input tokens."""

    def at(price: Decimal | types.TieredPrices | None) -> Decimal | None:
        if isinstance(price, types.TieredPrices):
            reached = [tier.price for tier in price.tiers if above is not None and above >= tier.start]
            return reached[-1] if reached else price.base
        return price

    found = [(at(getattr(prices, name)), units) for name, units in PRICES.values()]
    return tuple(None if price is None else round(price * factor / units, 6) for price, units in found)


def boxes(model: types.ModelInfo, tier: str, factor: int) -> list[Interval[date, Any]]:
    """The model's prices in a tier, as intervals of days, of intervals of minutes, of intervals of input tokens."""
    variants = [variant for variant in model.price_variants or () if tier_of(variant) == tier]
    context = variants[0].when if variants else None

    def by_tokens(moment: datetime) -> list[Interval[int, Priced]]:
        is_own = factor > 1 or any(rule.constraint is None or rule.constraint.active(moment) for rule in variants)
        prices = model.get_prices(moment, context)
        starts = {
            step.start for price in values(prices) if isinstance(price, types.TieredPrices) for step in price.tiers
        }
        return intervals(starts, lambda above: Priced(tier if is_own else "standard", prices_at(prices, above, factor)))

    def by_minutes(day: date) -> list[Interval[int, Any]]:
        midnight = datetime.combine(day, time(), UTC)
        return intervals(minutes(model), lambda minute: by_tokens(midnight + timedelta(minutes=minute or 0)))

    days = start_dates(model)
    return intervals(days, lambda day: by_minutes(day or min(days, default=date(2000, 1, 2)) - timedelta(days=1)))


def is_free(provider: types.Provider, model: types.ModelInfo) -> bool:
    """Whether the model has no price because it costs nothing."""
    if any(values(price.prices) for price in conditions(model)) or model.id.startswith(BILLED_BY_THE_SONG):
        return False
    return provider.id == "openrouter" or model.id.endswith(":free")


def price_id(box: Sequence[Any]) -> str:
    """The name of a row: its provider, model and tier, and where its days, minutes and input tokens start."""
    provider, model, tier, first_day, _, first_minute, _, above, _ = box
    starts = (("from", first_day), ("minute", first_minute), ("above", above))
    return " ".join([f"{provider}/{model}", tier, *(f"{name} {start}" for name, start in starts if start)])


def rows(provider: types.Provider, model: types.ModelInfo, as_of: date) -> Iterator[list[object]]:
    """The rows of a model, in order."""
    source = f"genai-prices {version('genai-prices')}"
    if is_free(provider, model):
        prices = ["0", "", "", "", "0", "", ""]
        free = [provider.id, model.id, "standard", *[""] * 6]
        yield [price_id(free), *free, "standard", *prices, source, as_of]
        return
    tiers = {name for variant in model.price_variants or () if (name := tier_of(variant))}
    factor = FAST_MODE.get((provider.id, model.id), 1)
    assert factor == 1 or "fast" not in tiers, f"FAST_MODE is not needed for {model.id}"
    for tier in ["standard", *sorted(tiers | ({"fast"} if factor > 1 else set()))]:
        is_extra = tier == "fast" and factor > 1
        origin = (FAST_MODE_SOURCE, FAST_MODE_AS_OF) if is_extra else (source, as_of)
        for *days, by_minutes in boxes(model, tier, factor if is_extra else 1):
            for *hours, by_tokens in by_minutes:
                for *tokens, priced in by_tokens:
                    # neither a price for input nor for output
                    if priced.prices[0] is None and priced.prices[4] is None:
                        continue
                    prices = ["" if price is None else f"{price.normalize():f}" for price in priced.prices]
                    if not prices[4] and (provider.id, model.id) not in UNLISTED_OUTPUT_PRICES:
                        prices[4] = "0"
                    prices.append(WEB_SEARCH_PRICES.get(provider.id, ""))
                    box = [provider.id, model.id, tier, *days, *hours, *tokens]
                    yield [price_id(box), *box, priced.tier, *prices, *origin]


def listed_rows() -> tuple[Rows, list[str]]:
    """The rows of all models in genai-prices, and a note on everything that was left out."""
    listed: Rows = []
    notes: list[str] = []
    openrouter = next(provider for provider in providers if provider.id == "openrouter")
    as_of = max(day for model in openrouter.models for day in start_dates(model))
    for provider in sorted(providers, key=lambda provider: provider.id):
        for model in sorted(provider.models, key=lambda model: model.id):
            name, found = f"{provider.id} {model.id}", list(rows(provider, model, as_of))
            texts = [["" if value is None else str(value) for value in row] for row in found]
            listed += [dict(zip(COLUMNS, row, strict=True)) for row in texts]
            notes += [] if found else [f"no price per token: {name}"]
            notes += [f"free: {name}"] if is_free(provider, model) else []
            known = {"service_tier", "processing", "speed"}
            notes += [
                f"variant left out: {name} {variant.when}"
                for variant in model.price_variants or ()
                if not known & variant.when.keys()
            ]
    return listed, notes


def by_model(prices: Rows) -> dict[tuple[str, str], Rows]:
    """The rows of each provider and model."""
    groups: dict[tuple[str, str], Rows] = {}
    for row in prices:
        groups.setdefault((row["provider"], row["model"]), []).append(row)
    return groups


def holding_from(day: str, prices: Rows) -> Rows:
    """The rows that hold on this day (yyyy-mm-dd) or later, each from this day on."""
    held = [row for row in prices if not row["valid_to"] or row["valid_to"] > day]
    return [{**row, "valid_from": max(row["valid_from"], day)} for row in held]


def terms(row: dict[str, str]) -> tuple[str, ...]:
    """The prices of a row and when they hold."""
    return tuple(row[name] for name in COLUMNS if name not in (*ORIGIN, "price_id"))


def with_changes(before: Rows, listed: Rows) -> tuple[Rows, list[str]]:
    """The rows `before` with the changes of the list, and a line on each model that has changed."""
    changes: list[str] = []
    known, groups = by_model(before), by_model(listed)
    for key in sorted(known.keys() | groups.keys()):
        old, new = known.get(key, []), groups.get(key, [])
        if not (old and new):
            changes.append(f"{'new' if new else 'not in genai-prices'}: {' '.join(key)}")
            groups[key] = old or new
            continue
        day = new[0]["priced_as_of"]
        present = {terms(row): row for row in holding_from(day, new)}
        if [*present] == [terms(row) for row in holding_from(day, old)]:
            # the same prices, from a newer list
            origins = {row["price_id"]: present[terms(held)] for row in old for held in holding_from(day, [row])}
            groups[key] = [
                {**row, **{name: origins[row["price_id"]][name] for name in ORIGIN}}
                if row["price_id"] in origins
                else row
                for row in old
            ]
        else:
            changes.append(f"changed from {day}: {' '.join(key)}")
            begun = [row for row in old if not row["valid_from"] or row["valid_from"] < day]
            ended = [{**row, "valid_to": min(row["valid_to"] or day, day)} for row in begun]
            groups[key] = ended + [{**row, "price_id": price_id(terms(row)[:9])} for row in present.values()]
    return [row for key in sorted(groups) for row in groups[key]], changes


def as_csv(prices: Rows) -> str:
    """The seed as text."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(prices)
    return text.getvalue()


def main() -> None:
    """Writes the seed beside this script. Prints what has changed, and to stderr what was left out."""
    with CSV_PATH.open(newline="") as file:
        before = list(csv.DictReader(file))
    listed, notes = listed_rows()
    prices, changes = with_changes(before, listed)
    CSV_PATH.write_text(as_csv(prices), newline="\n")
    kinds = Counter(note.partition(":")[0] for note in notes)
    print(*notes, *(f"{count} x {kind}" for kind, count in kinds.items()), sep="\n", file=sys.stderr)
    print(*changes or ["No price has changed."], sep="\n")


if __name__ == "__main__":
    main()
