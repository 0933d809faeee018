"""Makes model_names.csv and passed_on_prices.csv, dbt seeds of model names, from the data of the genai-prices package.

    python seeds/make_model_names.py

One version of genai-prices always gives the same files. model_names.csv promises that among the rows with

    provider = <provider> and lower(<model>) like model_pattern

the one with the lowest match_order has the model that genai-prices itself picks. What plain SQL cannot
say is settled as follows; whatever is left out or simplified is listed on stderr.

- Match rules become LIKE patterns without escapes, in which engines differ: a literal underscore is left
  as the wildcard that it is, and eight digits are `20______`, since they are a date. A rule that no
  pattern can say is left out.
- genai-prices takes the first model that matches, and reads -20240806 as -2024-08-06 if nothing else
  does. Here exact names come before all wider patterns, so that "starts with gemini-2.5-pro but has no
  -tts" needs no negation. Only a tts build that genai-prices does not list gets another answer: the text
  model's price.
- Names that genai-prices gives to another model, and patterns that another one makes superfluous, are
  dropped.
- is_vendor marks a maker's own models: genai-prices recognizes the provider by model name, it is no
  reseller, and no other such provider lays claim to the name.

canonical_model is the name that a model has at every provider: the name without its maker, route, region and
version of the service, and if the maker's own list has that name, the maker's name for it. model_family is
what successive versions of a model have in common, such as claude-sonnet.

passed_on_prices.csv has the providers that sell other vendors' models at the vendors' prices, according to
genai-prices.
"""

import csv
import io
import itertools
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from genai_prices import types
from genai_prices.data import providers

FOLDER = Path(__file__).parent
COLUMNS = ("provider", "model_pattern", "match_order", "model", "canonical_model", "model_family", "is_vendor")

# genai-prices recognizes these by a prefix of their own, but they serve other makers' models.
RESELLERS = {"cerebras", "cloudflare", "databricks", "fireworks"}

DASHED_DATE, COMPACT_DATE = "20__-__-__", "20______"
DASHED_BUILD = re.compile(r"-(20\d\d)-(\d\d)-(\d\d)(?=-|:|$)")

# What a name of a model has before and after the maker's own name: route, maker or region; and variant of the service.
ROUTE = re.compile(
    r"^(?:accounts/fireworks/models/|@cf/|~?[a-z0-9_.-]+/|(?:regional|global|us|us-gov|eu|apac|au|in|jp)\."
    r"|(?:ai21|amazon|anthropic|cohere|deepseek|google|luma|meta|minimax|mistral|moonshot|moonshotai|nvidia|openai"
    r"|qwen|stability|twelvelabs|writer|zai)\.)"
)
VARIANT = re.compile(r"(?::(?:batch|beta|extended|free|nitro|thinking)|-v\d+(?::\d+)?(?::\d+k)?)$")
VERSION_POINT = re.compile(r"(?<=\d)\.(?=\d)")

# The first expression that is found in a canonical name has its family, as the text of its groups.
FAMILIES = (
    r"^(claude).*?(-(?:fable|haiku|instant|mythos|opus|sonnet))",
    r"^(gemini).*?(-(?:embedding|flash|pro|ultra))",
    r"^(gpt-\d+)(o?)",
    r"^(o\d)",
    r"^(text-embedding|[a-z]+(?:-(?:coder|embed|large|medium|nemo|small|tiny|vl))?)",
)

# What a regular expression may consist of to have LIKE patterns.
REGEX_PART = re.compile(
    r"(?P<dashed>\\d\{4\}-\\d\{2\}-\\d\{2\})|(?P<compact>\\d\{8\})|(?P<digit>\\d)|\\(?P<escaped>[.\[\]])"
    r"|\[(?P<set>[^\\\]^]+)\]|\((?P<optional>[^()|?]+)\)\?|(?P<plain>[a-z0-9/=-])"
)


class Match(NamedTuple):
    """A LIKE pattern of a model; `is_exact` if it stands for one name."""

    pattern: str
    is_exact: bool
    model: types.ModelInfo


def regex_patterns(regex: str) -> list[str]:
    """LIKE patterns for the names that a regular expression finds; raises ValueError if there are none."""
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
    """Each LIKE pattern of a match rule, with True if it stands for one name; the rest goes to `notes`."""
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
            notes.append(f"negation left to the order of names: {wanted} and {regex}")
            yield from rule_patterns(wanted, notes)
        case _:
            notes.append(f"rule left out: {rule}")


def covers(wide: str, narrow: str) -> bool:
    """Whether the first LIKE pattern matches every name that the second one matches."""
    # The second pattern is read as a name in which % is a character that only a % can match.
    regex = "".join({"%": ".*", "_": "[^%]"}.get(sign, re.escape(sign)) for sign in wide)
    return re.fullmatch(regex, narrow) is not None


def ordered_matches(provider: types.Provider, notes: list[str]) -> list[Match]:
    """The provider's patterns; the first that matches a name belongs to the model genai-prices picks."""
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
        rivals = [other.pattern for other in wide if other.model is match.model]
        if not any(covers(rival, match.pattern) for rival in [*first_wide, *rivals] if rival != match.pattern):
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


def vendors() -> list[types.Provider]:
    """The providers that make models of their own and are recognized by these models' names."""
    return [provider for provider in providers if provider.model_match and provider.id not in RESELLERS]


def is_vendor(provider: types.Provider, pattern: str) -> bool:
    """Whether the provider is the maker of the models that the pattern matches."""
    name = pattern.strip("%")
    claims = [vendor for vendor in vendors() if vendor.model_match and vendor.model_match.is_match(name)]
    return provider in vendors() and (not claims or claims == [provider])


def canonical_model(name: str) -> str:
    """The name that the model has at every provider."""
    bare, wider = "", name.lower()
    while bare != wider:
        bare, wider = wider, VARIANT.sub("", ROUTE.sub("", wider))
    for vendor in vendors():
        for spelling in (bare, VERSION_POINT.sub("-", bare)):
            if vendor.model_match and vendor.model_match.is_match(spelling) and (model := vendor.find_model(spelling)):
                return model.id.lower().removesuffix("-latest")
    return bare


def model_family(canonical: str) -> str:
    """What the versions of a model have in common."""
    found = next((match for family in FAMILIES if (match := re.search(family, canonical))), None)
    return "".join(found.groups()) if found else canonical


def as_csv(columns: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def make_model_names() -> tuple[str, list[str]]:
    """The seed of names as text, and a note on everything that was left out or simplified."""
    notes: list[str] = []
    rows = [
        (
            *(provider.id, match.pattern, match_order, match.model.id),
            *(canonical, model_family(canonical)),
            "true" if is_vendor(provider, match.pattern) else "false",
        )
        for provider in sorted(providers, key=lambda provider: provider.id)
        for match_order, match in enumerate(ordered_matches(provider, notes), start=1)
        for canonical in [canonical_model(match.model.id)]
    ]
    return as_csv(COLUMNS, rows), notes


def make_passed_on_prices() -> str:
    """The seed of providers that pass the prices of vendors on, as text."""
    rows = [(provider.id, vendor) for provider in providers for vendor in provider.fallback_model_providers or ()]
    return as_csv(("provider", "vendor"), sorted(rows))


def main() -> None:
    """Writes the seeds beside this script and the notes to stderr, with a count of each kind."""
    names, notes = make_model_names()
    (FOLDER / "model_names.csv").write_text(names, newline="\n")
    (FOLDER / "passed_on_prices.csv").write_text(make_passed_on_prices(), newline="\n")
    kinds = Counter(note.partition(":")[0] for note in notes)
    print(*notes, *(f"{count} x {kind}" for kind, count in kinds.items()), sep="\n", file=sys.stderr)


if __name__ == "__main__":
    main()
