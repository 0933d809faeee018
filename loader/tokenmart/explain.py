"""Works out the cost of one request from the warehouse: its parts, the price row, and which cost counts.

The rules are those of the macros price_ctes, override_ctes and cost_ctes, which compute the stored costs.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from tokenmart.destinations import Warehouse, one_line
from tokenmart.errors import TokenmartError
from tokenmart.marts import check_marts, is_text
from tokenmart.profile import Target
from tokenmart.settings import all_variables

Row = dict[str, Any]

INPUT, CACHE_READ, WRITE_5M = "uncached input", "cache read", "cache write (5 minutes)"
WRITE_1H, OUTPUT, FEE, SEARCHES = "cache write (1 hour)", "output", "request fee", "web searches"
"""The names of the parts of a computed cost."""

IDENTITY = (
    *("event_id", "occurred_at", "usage_date", "provider", "model", "canonical_model", "model_family", "model_region"),
    *("service_tier", "priced_service_tier", "source_format", "load_id"),
)
COUNTS = ("web_search_requests",)
TOKENS = ("input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "output_tokens")
STORED_PARTS = (
    *("input_cost_usd", "cache_read_cost_usd", "cache_write_cost_usd", "output_cost_usd", "request_cost_usd"),
    "web_search_cost_usd",
)
COSTS = (*STORED_PARTS, "computed_cost_usd", "reported_cost_usd", "cost_usd")
BASES = ("price_id", "price_override_id", "price_basis", "cost_basis")
REQUEST = (*IDENTITY, "is_running_total", *TOKENS, *COUNTS, *COSTS, *BASES)

USD_PER_MILLION = (
    *("input_usd_per_million", "cache_read_usd_per_million", "cache_write_usd_per_million"),
    *("cache_write_1h_usd_per_million", "output_usd_per_million"),
)
PRICES = (*USD_PER_MILLION, "request_usd", "web_search_usd")
PRICE = (
    *("price_id", "provider", "model", "service_tier", "valid_from", "valid_to", "from_minute", "to_minute"),
    *("above_input_tokens", "up_to_input_tokens", "priced_tier", *PRICES, "price_source", "priced_as_of"),
)
OVERRIDE = (
    *("override_id", "provider", "model_pattern", "service_tier", "team", "project", "valid_from", "valid_to"),
    *("discount_share", *PRICES),
)
OVERRIDES = "price_overrides"
"""The seed with the user's own prices, and the variable that names another one."""
NEEDED = {
    "llm_requests": (*REQUEST, "batch_id"),
    "model_prices": PRICE,
    "model_names": ("provider",),
    "provider_aliases": ("alias",),
    "build_settings": ("cost_preference", "batch_id"),
}
"""The tables of the marts schema that are read, and their columns."""

USD_PLACES, PRICE_PLACES = 12, 6
"""As in the warehouse. Decimal has 28 digits, so amounts below 10^16 USD are exact."""


@dataclass(frozen=True)
class Part:
    """A part of a computed cost: `tokens` times `usd_per_million` (USD per million tokens) gives `cost_usd`.

    What is unknown is None. The request fee and web searches have no tokens: `number` times `usd_each` (USD) gives
    their cost. `priced_as` is the part whose price is used, if the price row has none for this part.
    """

    name: str
    tokens: int | None
    usd_per_million: Decimal | None
    cost_usd: Decimal | None
    priced_as: str | None = None
    number: int | None = None
    usd_each: Decimal | None = None


@dataclass(frozen=True)
class Missing:
    """Something without which no cost can be computed, and what the user can do. Both are sentences."""

    what: str
    to_do: str


@dataclass(frozen=True)
class Explanation:
    """The cost of one request. Costs are in USD, with twelve decimal places; prices have six.

    `request` has the columns IDENTITY, with occurred_at in UTC, and `snapshots`, the number of raw events of the
    request. `price` has the columns PRICE of the row of the price list whose price was used, and price_basis; None
    without a row. `override` has the columns OVERRIDE of the row of price_overrides that was used; None without one.
    `costs` has the stored reported_cost_usd, computed_cost_usd and cost_usd, cost_basis, cost_preference, and
    difference_usd: reported minus computed. `reasons` are sentences about these costs. `problems` are sentences about
    stored values that differ from the arithmetic, empty if none does; `hint` then says what to do.
    """

    request: Row
    parts: list[Part]
    price: Row | None
    override: Row | None
    costs: Row
    reasons: list[str]
    missing: list[Missing]
    problems: list[str]
    hint: str | None


def explain_request(warehouse: Warehouse, target: Target, event_id: str) -> Explanation:
    """Reads a request and its price row, and works out its cost again.

    Raises TokenmartError if the marts have no such request, are not built, or were built by an older version.
    """
    check_marts(warehouse, target, NEEDED)
    marts, name = target.marts_schema, warehouse.literal(event_id)
    source = f"{marts}.llm_requests where event_id = {name} order by batch_id desc"
    requests = _rows(warehouse, REQUEST, source) if is_text(event_id) else []
    snapshots = _snapshots(warehouse, target, name) if is_text(event_id) else 0
    if not requests:
        raise _unknown(target, event_id, snapshots)
    request = requests[0]
    request["occurred_at"] = _utc(request["occurred_at"])
    # some warehouses have an empty text for a model without prices, or leave out zeros at the end of a decimal
    request.update({column: request[column] or None for column in ("price_id", "price_override_id")})
    request.update({column: _places(request[column], USD_PLACES) for column in COSTS})
    price = _price(warehouse, marts, request["price_id"])
    override = _override(warehouse, target, request["price_override_id"])
    billed = _billed(request, price, override)
    parts = _parts(request, billed)
    problems = _problems(request, price, override, parts)
    costs = _costs(warehouse, marts, request)
    is_unknown = costs["computed_cost_usd"] is None and costs["cost_basis"] != "not_billed"
    if len(requests) > 1:
        problems.append(f"llm_requests has {len(requests):,} rows of this request, so its cost is counted too often.")
    return Explanation(
        request={**{column: request[column] for column in IDENTITY}, "snapshots": snapshots},
        parts=parts,
        price=None if price is None else {**price, "price_basis": request["price_basis"]},
        override=override,
        costs=costs,
        reasons=[*_origin(request, snapshots), *_reasons(costs)],
        missing=_missing(warehouse, target, request, billed) if is_unknown else [],
        problems=problems,
        hint=(
            "The prices may have changed since the last build. To compute the costs again:"
            f" tokenmart build{target.option}. If that changes nothing: tokenmart build --full-refresh{target.option}"
            if problems
            else None
        ),
    )


def _rows(warehouse: Warehouse, columns: Sequence[str], source: str) -> list[Row]:
    return [
        dict(zip(columns, row, strict=True)) for row in warehouse.query(f"select {', '.join(columns)} from {source}")
    ]


def _snapshots(warehouse: Warehouse, target: Target, event_id: str) -> int:
    """The number of raw events with this id (an SQL literal) in complete loads."""
    raw = target.raw_schema
    complete = f"select load_id from {raw}._dlt_loads where status = 0"
    query = f"select count(*) from {raw}.events where event_id = {event_id} and _dlt_load_id in ({complete})"
    return int(warehouse.query(query)[0][0])


def _unknown(target: Target, event_id: str, snapshots: int) -> TokenmartError:
    shown = one_line(ValueError(event_id))
    if snapshots:
        return TokenmartError(
            f"The request {shown} has been loaded, but it is not in the marts.",
            f"To build the marts: tokenmart build{target.option}. Requests older than retention_days are left out.",
        )
    columns = "event_id, occurred_at, model, cost_usd"
    return TokenmartError(
        f"There is no request with the event_id {shown}.",
        f'To find ids: tokenmart query "select {columns} from llm_requests order by occurred_at desc"{target.option}',
    )


def _utc(time: dt.datetime) -> dt.datetime:
    """A time of the warehouse, which is in UTC but does not always say so."""
    return time.replace(tzinfo=dt.UTC) if time.tzinfo is None else time.astimezone(dt.UTC)


def _places(value: Any, places: int) -> Decimal | None:
    return None if value is None else Decimal(value).quantize(Decimal(1).scaleb(-places))


def _price(warehouse: Warehouse, marts: str, price_id: str | None) -> Row | None:
    if price_id is None:
        return None
    # as in the macro price_ctes, for rows that the user has added without a tier or a name
    tier = "coalesce(nullif(service_tier, ''), 'standard')"
    name = f"coalesce(nullif(price_id, ''), provider || '/' || model || ' ' || {tier})"
    for price in _rows(warehouse, PRICE, f"{marts}.model_prices where {name} = {warehouse.literal(price_id)}"):
        asked = price["service_tier"] or "standard"
        tiers = {"price_id": price_id, "service_tier": asked, "priced_tier": price["priced_tier"] or asked}
        return {**price, **tiers, **{column: _places(price[column], PRICE_PLACES) for column in PRICES}}
    return None


def _override(warehouse: Warehouse, target: Target, override_id: str | None) -> Row | None:
    """The row of price_overrides, or of the user's seed that is used instead."""
    seed = all_variables(target.project_folder).get(OVERRIDES) or OVERRIDES
    if override_id is None or not set(OVERRIDE) <= warehouse.tables(target.marts_schema).get(seed, set()):
        return None
    source = f"{target.marts_schema}.{seed} where override_id = {warehouse.literal(override_id)}"
    for override in _rows(warehouse, OVERRIDE, source):
        decimals = ("discount_share", *PRICES)
        return {**override, **{column: _places(override[column], PRICE_PLACES) for column in decimals}}
    return None


def _billed(request: Row, price: Row | None, override: Row | None) -> Row | None:
    """The prices that the request is billed with (PRICES), their tier, and the name and the file of their row."""
    listed = price and {**price, "row": f"price row {price['price_id']}", "file": "seeds/model_prices.csv"}
    if override is None:
        return listed
    share = override["discount_share"]
    if share is None:
        name = {"row": f"price override {override['override_id']}", "file": "seeds/price_overrides.csv"}
        return {**override, **name, "priced_tier": request["priced_service_tier"]}
    if listed is None:
        return None
    return {**listed, **{column: _discounted(listed[column], share) for column in PRICES}}


def _discounted(price: Decimal | None, share: Decimal) -> Decimal | None:
    if price is None:
        return None
    return (price * (1 - share)).quantize(Decimal(1).scaleb(-PRICE_PLACES), ROUND_HALF_UP)


def _is_computable(request: Row, price: Row | None) -> bool:
    return (
        price is not None
        and price["priced_tier"] is not None
        and request["input_tokens"] is not None
        and (request["output_tokens"] is not None or not price["output_usd_per_million"])
    )


def _parts(request: Row, price: Row | None) -> list[Part]:
    """The seven parts of the cost: cache writes are two. Without a price or a token count, their costs are None."""
    is_computable = _is_computable(request, price)
    # cache tokens that a source does not report are none, if it reports the input tokens
    tokens = {name: 0 if request[name] is None and is_computable else request[name] for name in TOKENS}
    read, write, hour = (tokens[f"cache_{kind}_tokens"] for kind in ("read", "write", "write_1h"))
    whole = request["input_tokens"]
    prices = {name: None if price is None else price[name] for name in PRICES}
    if price is not None and prices["output_usd_per_million"] is None and not request["output_tokens"]:
        # a model without an output price, such as an embedding, has no output to bill
        prices["output_usd_per_million"] = _places(0, PRICE_PLACES)
    of = dict(zip((INPUT, CACHE_READ, WRITE_5M, WRITE_1H, OUTPUT), USD_PER_MILLION, strict=True))

    def part(name: str, count: int | None, *substitutes: str) -> Part:
        used = next((other for other in (name, *substitutes) if prices[of[other]] is not None), name)
        rate = prices[of[used]]
        cost = None
        if is_computable and count is not None and rate is not None:
            cost = _places(count * rate * Decimal("0.000001"), USD_PLACES)
        return Part(name, count, rate, cost, None if used == name else used)

    def priced_each(name: str, number: int, usd_each: Decimal | None) -> Part:
        if usd_each is None and not number:
            usd_each = _places(0, PRICE_PLACES)
        cost = _places(number * usd_each, USD_PLACES) if is_computable and usd_each is not None else None
        return Part(name, None, None, cost, number=number, usd_each=usd_each)

    fee = prices["request_usd"]
    return [
        part(INPUT, None if whole is None else whole - (read or 0) - (write or 0)),
        part(CACHE_READ, read, INPUT),
        part(WRITE_5M, None if write is None else write - (hour or 0), INPUT),
        part(WRITE_1H, hour, WRITE_5M, INPUT),
        part(OUTPUT, tokens["output_tokens"]),
        priced_each(FEE, 0 if fee is None else 1, fee),
        priced_each(SEARCHES, request["web_search_requests"] or 0, prices["web_search_usd"]),
    ]


def total(parts: Sequence[Part]) -> Decimal | None:
    """The sum of the costs of parts, in USD; None if one of them is unknown."""
    costs = [part.cost_usd for part in parts if part.cost_usd is not None]
    return sum(costs, Decimal(0)) if len(costs) == len(parts) else None


def _problems(request: Row, price: Row | None, override: Row | None, parts: list[Part]) -> list[str]:
    """Sentences about stored values that differ from the arithmetic."""
    problems = []
    if request["price_id"] is not None and price is None:
        problems.append(f"The price row {request['price_id']} is no longer in model_prices.")
    elif request["price_override_id"] is not None and override is None:
        problems.append(f"The row {request['price_override_id']} is no longer in price_overrides.")
    else:
        if price and not _holds(price, request):
            problems.append("The price row no longer holds for the time, input tokens or service tier of this request.")
        if override and not _is_valid_on(override, request["occurred_at"].date()):
            problems.append("The row of price_overrides no longer holds for the day of this request.")
        groups = (parts[:1], parts[1:2], parts[2:4], parts[4:5], parts[5:6], parts[6:], parts)
        for column, group in zip((*STORED_PARTS, "computed_cost_usd"), groups, strict=True):
            if (found := total(group)) != request[column]:
                problems.append(f"{column} is {usd(request[column])}, but the price row gives {usd(found)}.")
    reported, computed = request["reported_cost_usd"], request["computed_cost_usd"]
    counted = {"reported": reported, "computed": computed, "free": computed, "not_billed": Decimal(0)}
    counts = counted.get(request["cost_basis"])
    if request["cost_usd"] != counts:
        problems.append(
            f"cost_usd is {usd(request['cost_usd'])}, but for cost_basis {request['cost_basis']} it must be"
            f" {usd(counts)}."
        )
    return problems


def _holds(price: Row, request: Row) -> bool:
    """Whether the price row still is for the time, the input tokens and the priced tier of the request."""
    time, prompt = request["occurred_at"], request["input_tokens"] or 0
    day, minute = time.date(), time.hour * 60 + time.minute
    above, up_to = price["above_input_tokens"], price["up_to_input_tokens"]
    return bool(
        _is_valid_on(price, day)
        and (price["from_minute"] or 0) <= minute < (24 * 60 if price["to_minute"] is None else price["to_minute"])
        and (above is None or prompt > above)
        and (up_to is None or prompt <= up_to)
        and price["priced_tier"] == request["priced_service_tier"]
    )


def _is_valid_on(row: Row, day: dt.date) -> bool:
    return bool((row["valid_from"] or day) <= day < (row["valid_to"] or dt.date.max))


def _costs(warehouse: Warehouse, marts: str, request: Row) -> Row:
    """The stored costs, their difference, and why one of them counts."""
    reported, computed = request["reported_cost_usd"], request["computed_cost_usd"]
    settings = _rows(warehouse, ("cost_preference",), f"{marts}.build_settings order by batch_id desc limit 1")
    return {
        "reported_cost_usd": reported,
        "computed_cost_usd": computed,
        "difference_usd": None if reported is None or computed is None else reported - computed,
        "cost_usd": request["cost_usd"],
        "cost_basis": request["cost_basis"],
        "cost_preference": settings[0]["cost_preference"] if settings else None,
    }


def _origin(request: Row, snapshots: int) -> list[str]:
    sentences = []
    if snapshots > 1:
        which = "newest" if request["is_running_total"] else "most complete"
        sentences.append(f"{snapshots:,} events (snapshots) of this request were loaded; the {which} one counts.")
    if request["is_running_total"]:
        sentences.append("The log has running totals; the tokens and the cost are the increase since the last total.")
    return sentences


def _reasons(costs: Row) -> list[str]:
    """Sentences about the reported cost, the computed cost, their difference, and the one that counts."""
    reported, computed, difference = costs["reported_cost_usd"], costs["computed_cost_usd"], costs["difference_usd"]
    sentences = [
        "The log reports no cost." if reported is None else f"The log reports a cost of {usd(reported)}.",
        "No cost can be computed." if computed is None else f"The computed cost is {usd(computed)}.",
    ]
    if difference is not None:
        compared = (
            f"{usd(abs(difference))} {'more' if difference > 0 else 'less'} than" if difference else "the same as"
        )
        sentences.append(f"The reported cost is {compared} the computed cost.")
    if costs["cost_basis"] in ("computed", "free"):
        why = "the log reports none" if reported is None else "cost_preference is 'computed'"
        sentences.append(f"The computed cost counts, because {why}.")
        sentences += ["The request is free, because all prices of its model are 0."] * (costs["cost_basis"] == "free")
    elif costs["cost_basis"] == "reported":
        why = "the log reports one" if costs["cost_preference"] != "computed" else "no cost can be computed"
        sentences.append(f"The reported cost counts, because {why}.")
    elif costs["cost_basis"] == "not_billed":
        sentences.append("The request costs 0, because a gateway served the response from its cache.")
    else:
        sentences.append(f"The cost is unknown (cost_basis is '{costs['cost_basis']}'). It is not 0.")
    return sentences


def _missing(warehouse: Warehouse, target: Target, request: Row, price: Row | None) -> list[Missing]:
    """What is missing to compute a cost."""
    names = {"input_tokens": "input tokens", "output_tokens": "output tokens"}
    unknown = [name for column, name in names.items() if request[column] is None]
    if price and not price["output_usd_per_million"] and "output tokens" in unknown:
        # output is not billed
        unknown.remove("output tokens")
    found = []
    if unknown:
        found.append(
            Missing(
                f"The log does not have the number of {' and '.join(unknown)}.",
                "If the log has it under another name, read it with a custom format, and load the file with --again.",
            )
        )
    if price is None:
        found.append(_without_price(warehouse, target, request))
    elif gaps := _gaps(request, price):
        found.append(
            Missing(
                f"The {price['row']} has no {' and no '.join(gaps)}.",
                f"Complete the row in {price['file']}, then run tokenmart build{target.option}.",
            )
        )
    return found


def _gaps(request: Row, price: Row) -> list[str]:
    """The columns that the price row needs for this request and that are empty."""
    needed = ["priced_tier", "input_usd_per_million"] + ["output_usd_per_million"] * bool(request["output_tokens"])
    needed += ["web_search_usd"] * bool(request["web_search_requests"])
    return [column for column in needed if price[column] is None]


def _without_price(warehouse: Warehouse, target: Target, request: Row) -> Missing:
    """Why the request has no price row."""
    provider, model, known = request["provider"], request["model"], request["canonical_model"]
    then = f", then run tokenmart build{target.option}."
    if model is None:
        return Missing(
            "The log does not name the model.",
            "If the log has it under another name, read it with a custom format, and load the file with --again.",
        )
    if known is not None:
        tokens = "" if request["input_tokens"] is None else f" and {request['input_tokens']:,} input tokens"
        return Missing(
            f"The price list has the model {known}, but no price for {request['occurred_at']:%Y-%m-%d %H:%M} UTC"
            f"{tokens}.",
            f"Add the price to seeds/price_overrides.csv{then}",
        )
    if provider is not None and not _is_listed(warehouse, target.marts_schema, provider):
        return Missing(
            f"The price list does not have the provider {provider}.",
            "If it is another name of a provider in the price list, add it to seeds/provider_aliases.csv. Otherwise add"
            f" the price to seeds/price_overrides.csv{then}",
        )
    whose = ", and the log does not name the provider" if provider is None else f" of the provider {provider}"
    return Missing(
        f"The price list does not have the model {model}{whose}.",
        "If the name begins with a prefix that a gateway adds, add the prefix to seeds/model_prefixes.csv. Otherwise"
        f" add the price of the model to seeds/price_overrides.csv{then}",
    )


def _is_listed(warehouse: Warehouse, marts: str, provider: str) -> bool:
    name = warehouse.literal(provider.lower())
    queries = (
        f"select count(*) from {marts}.model_names where provider = {name}",
        f"select count(*) from {marts}.provider_aliases where alias = {name}",
    )
    return any(warehouse.query(query)[0][0] for query in queries)


def usd(value: Decimal | None) -> str:
    """An amount in USD with all its digits, at least two decimal places: `$1.379168`; `unknown` for None."""
    if value is None:
        return "unknown"
    return f"{'-' * (value < 0)}${abs(value):,.{decimals([value])}f}"


def decimals(values: Sequence[Decimal | None]) -> int:
    """The smallest number of decimal places, at least two, that shows all digits of each value."""
    places = (len(f"{value:f}".partition(".")[2].rstrip("0")) for value in values if value is not None)
    return max(2, *places, 2)
