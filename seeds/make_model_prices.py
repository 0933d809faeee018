"""Creates model_prices.csv, the dbt seed with LLM prices, from the data of the genai-prices package.

    python seeds/make_model_prices.py

The output depends only on the version of genai-prices. Of the rows that match a request with

    provider = <provider> and lower(<model>) like model_pattern
    and valid_from <= <date> and <date> < valid_to (an empty bound is open)

the row with the lowest match_order has the prices that genai-prices selects. Some rules cannot be expressed in plain
SQL. They are handled as follows, and everything that is left out or simplified is printed to stderr.

- Match rules become LIKE patterns without escape characters, because engines treat escapes differently. So a literal
  underscore is also a wildcard. Eight digits become `20______`, because they are a date. A rule without a pattern is
  left out.
- genai-prices uses the first model that matches. If none matches, it reads -20240806 as -2024-08-06. Here exact names
  come before patterns, so a rule such as "starts with gemini-2.5-pro but does not contain -tts" needs no negation. The
  result differs only for tts builds that genai-prices does not list: they get the price of the text model.
- Names that genai-prices assigns to another model are left out, and so are patterns that another pattern covers.
- Models without a price per input or output token are left out. They have prices per hour or page, or no prices, which
  in genai-prices can mean free or unknown.
- For tiered prices, the base price is used. For prices by time of day, the price that applies for most of the day.
- Prices are rounded to six decimal places. This removes float errors of the source (0.18000000000000002), and tokens x
  price per million is exact with twelve decimal places.
- is_vendor marks the price of the company that makes the model. It is also used if the provider of an event is unknown.
  It is true if genai-prices recognizes the provider by model name, the provider is not a reseller, and no other such
  provider matches the name.
- priced_as_of is a lower bound for the date of the prices. The package has no date, but its OpenRouter prices come from
  a live catalog, and each is dated on the day on which a change is found. The latest such day is used.
"""

import csv
import io
import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from genai_prices import types
from genai_prices.data import providers

CSV_PATH = Path(__file__).with_name("model_prices.csv")

PRICE_KEYS = {
    "input_usd_per_million": "input_mtok",
    "cache_read_usd_per_million": "cache_read_mtok",
    "cache_write_usd_per_million": "cache_write_mtok",
    "cache_write_1h_usd_per_million": "cache_write_1h_mtok",
    "output_usd_per_million": "output_mtok",
}
COLUMNS = (
    *("provider", "model", "model_pattern", "match_order", "is_vendor", "valid_from", "valid_to"),
    *PRICE_KEYS,
    "priced_as_of",
)

# genai-prices recognizes these providers by a name prefix, but they offer models of other companies.
RESELLERS = {"cerebras", "cloudflare", "databricks", "fireworks"}

DASHED_DATE, COMPACT_DATE = "20__-__-__", "20______"
DASHED_BUILD = re.compile(r"-(20\d\d)-(\d\d)-(\d\d)(?=-|:|$)")

# The parts of regular expressions that can be converted to LIKE patterns.
REGEX_PART = re.compile(
    r"(?P<dashed>\\d\{4\}-\\d\{2\}-\\d\{2\})|(?P<compact>\\d\{8\})|(?P<digit>\\d)|\\(?P<escaped>[.\[\]])"
    r"|\[(?P<set>[^\\\]^]+)\]|\((?P<optional>[^()|?]+)\)\?|(?P<plain>[a-z0-9/=-])"
)

Prices = tuple[str, ...]


class Match(NamedTuple):
    """A LIKE pattern of a model. `is_exact` is true if it matches only one name."""

    pattern: str
    is_exact: bool
    model: types.ModelInfo


class Window(NamedTuple):
    """Prices in the order of PRICE_KEYS, as decimals, and the dates [valid_from, valid_to) on which they are valid."""

    valid_from: date | None
    valid_to: date | None
    prices: Prices


def regex_patterns(regex: str) -> list[str]:
    """LIKE patterns for the names that a regular expression matches. Raises ValueError if it cannot be converted."""
    body = regex.removeprefix("^").removesuffix("$")
    parts = list(REGEX_PART.finditer(body))
    if not regex.startswith("^") or "".join(part[0] for part in parts) != body:
        raise ValueError(f"regular expression {regex}")
    choices = []
    for part in parts:
        match part.lastgroup:
            case "dashed":
                choices.append([DASHED_DATE])
            case "compact":
                choices.append([COMPACT_DATE])
            case "digit":
                choices.append(list("0123456789"))
            case "set":
                choices.append(list(part["set"]))
            case "optional":
                choices.append(["", *regex_patterns(f"^{part['optional']}$")])
            case kind:
                choices.append([part[kind or 0]])
    end = "" if regex.endswith("$") else "%"
    return ["".join(choice) + end for choice in itertools.product(*choices)]


def rule_patterns(rule: object, notes: list[str]) -> Iterator[tuple[str, bool]]:
    """The LIKE patterns of a match rule, each with True if it matches only one name.

    Adds a note to `notes` for each rule that cannot be converted.
    """
    match rule:
        case types.ClauseEquals(equals=text):
            yield text.lower(), True
        case types.ClauseStartsWith(starts_with=text):
            yield f"{text.lower()}%", False
        case types.ClauseEndsWith(ends_with=text):
            yield f"%{text.lower()}", False
        case types.ClauseContains(contains=text):
            yield f"%{text.lower()}%", False
        case types.ClauseRegex(regex=regex):
            try:
                for pattern in regex_patterns(regex):
                    yield pattern, not {"_", "%"}.intersection(pattern)
            except ValueError as error:
                notes.append(f"rule left out: {error}")
        case types.ClauseOr(or_=rules):
            for alternative in rules:
                yield from rule_patterns(alternative, notes)
        case types.ClauseAnd(and_=[wanted, types.ClauseRegex(regex=regex)]) if regex.startswith("^(?!"):
            notes.append(f"negation replaced by the order of names: {wanted} and {regex}")
            yield from rule_patterns(wanted, notes)
        case _:
            notes.append(f"rule left out: {rule}")


def covers(wide: str, narrow: str) -> bool:
    """Whether the first LIKE pattern matches every name that the second one matches."""
    # The second pattern is used as a name in which only % matches %.
    regex = "".join({"%": ".*", "_": "[^%]"}.get(sign, re.escape(sign)) for sign in wide)
    return re.fullmatch(regex, narrow) is not None


def ordered_matches(provider: types.Provider, notes: list[str]) -> list[Match]:
    """The patterns of a provider, in order. The first that matches a name has the model that genai-prices selects."""
    matches = [
        Match(pattern, is_exact, model)
        for model in provider.models
        for pattern, is_exact in rule_patterns(model.match, notes)
    ]
    wide = [match for match in matches if not match.is_exact]
    wide += [
        match._replace(pattern=match.pattern.replace(DASHED_DATE, COMPACT_DATE))
        for match in wide
        if DASHED_DATE in match.pattern
    ]
    first_wide: dict[str, Match] = {}
    for match in wide:
        others = [other.pattern for other in wide if other.model is match.model]
        if not any(covers(other, match.pattern) for other in [*first_wide, *others] if other != match.pattern):
            first_wide.setdefault(match.pattern, match)

    names = [match for match in matches if match.is_exact]
    names += [match._replace(pattern=DASHED_BUILD.sub(r"-\1\2\3", match.pattern)) for match in names]
    exact: dict[str, Match] = {}
    for match in names:
        widest = next((other for other in first_wide.values() if covers(other.pattern, match.pattern)), None)
        is_repeated = widest is not None and widest.model is match.model
        if provider.find_model(match.pattern) is match.model and not is_repeated:
            exact.setdefault(match.pattern, match)
    return [*exact.values(), *first_wide.values()]


def start_dates(model: types.ModelInfo) -> list[date]:
    """The dates on which prices of the model start, in order."""
    if isinstance(model.prices, types.ModelPrice):
        return []
    constraints = [price.constraint for price in model.prices]
    return sorted({rule.start_date for rule in constraints if isinstance(rule, types.StartDateConstraint)})


def base_prices(prices: types.ModelPrice) -> Prices:
    """The prices of the base tier. A missing price is ''."""

    def plain(price: Decimal | types.TieredPrices | None) -> str:
        if price is None:
            return ""
        base = price.base if isinstance(price, types.TieredPrices) else price
        return f"{round(base, 6).normalize():f}"

    return tuple(plain(getattr(prices, key)) for key in PRICE_KEYS.values())


def price_windows(model: types.ModelInfo) -> list[Window]:
    """The periods of the model with a price per token, in order. Adjacent periods have different prices."""
    starts: list[date | None] = [None, *start_dates(model)]
    windows: list[Window] = []
    for start, end in itertools.zip_longest(starts, starts[1:]):
        day = start or (end or date(2000, 1, 1)) - timedelta(days=1)
        midnight = datetime(day.year, day.month, day.day, tzinfo=UTC)
        quarters = (midnight + timedelta(minutes=15 * quarter) for quarter in range(96))
        prices = Counter(base_prices(model.get_prices(moment)) for moment in quarters).most_common(1)[0][0]
        if windows and windows[-1].prices == prices:
            windows[-1] = windows[-1]._replace(valid_to=end)
        else:
            windows.append(Window(start, end, prices))
    return [window for window in windows if window.prices[0] or window.prices[-1]]


def vendors() -> list[types.Provider]:
    """The providers that make models and are recognized by the names of these models."""
    return [provider for provider in providers if provider.model_match and provider.id not in RESELLERS]


def is_vendor(provider: types.Provider, pattern: str) -> bool:
    """Whether the provider makes the models that the pattern matches."""
    name = pattern.strip("%")
    matching = [vendor for vendor in vendors() if vendor.model_match and vendor.model_match.is_match(name)]
    return provider in vendors() and (not matching or matching == [provider])


def make_csv() -> tuple[str, list[str]]:
    """The seed as text, and a note for everything that was left out or simplified."""
    notes: list[str] = []
    openrouter = next(provider for provider in providers if provider.id == "openrouter")
    priced_as_of = max(day for model in openrouter.models for day in start_dates(model))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for provider in sorted(providers, key=lambda provider: provider.id):
        windows = {model.id: price_windows(model) for model in provider.models}
        notes += [f"no price per token: {provider.id} {model}" for model in windows if not windows[model]]
        notes += [
            f"price of most of the day: {provider.id} {model.id}"
            for model in provider.models
            if "TimeOfDateConstraint" in repr(model.prices)
        ]
        notes += [
            f"base price of tiers: {provider.id} {model.id}"
            for model in provider.models
            if "TieredPrices" in repr(model.prices)
        ]
        for match_order, match in enumerate(ordered_matches(provider, notes), start=1):
            for window in windows[match.model.id]:
                writer.writerow(
                    [
                        *(provider.id, match.model.id, match.pattern, match_order),
                        "true" if is_vendor(provider, match.pattern) else "false",
                        *window[:2],
                        *window.prices,
                        priced_as_of,
                    ]
                )
    return text.getvalue(), notes


def main() -> None:
    """Writes the seed next to this script, and prints the notes and their number by kind to stderr."""
    text, notes = make_csv()
    CSV_PATH.write_text(text, newline="\n")
    kinds = Counter(note.partition(":")[0] for note in notes)
    print(*notes, *(f"{count} x {kind}" for kind, count in kinds.items()), sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
