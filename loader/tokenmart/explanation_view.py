"""Prints the arithmetic of a request's cost."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from tokenmart.screen import Screen, as_text, print_table

if TYPE_CHECKING:
    # slow imports, needed only for types
    from tokenmart.explain import Explanation, Part

NULL = "[dim]NULL[/]"


def show_explanation(console: Screen, explained: Explanation) -> None:
    """Prints the request, each part of its computed cost, the price row, which cost counts, and what is wrong."""
    _print_values(console, "Request", _request(explained.request))
    _print_parts(console, explained)
    if explained.price:
        _print_values(console, "Price row", _price(explained.price))
    if explained.override:
        _print_values(console, "Price override", _override(explained.override))
    console.print("[bold]Cost[/]")
    for reason in explained.reasons:
        console.print(f"  {escape(reason)}")
    for missing in explained.missing:
        console.print(f"[yellow]  missing [/]{escape(missing.what)}")
        console.print(f"  {escape(missing.to_do)}")
    for problem in explained.problems:
        console.print(f"[red]  wrong [/]{escape(problem)}")
    if explained.hint:
        console.print(f"  {escape(explained.hint)}")


def _print_values(console: Screen, title: str, values: Mapping[str, Any]) -> None:
    console.print(f"[bold]{title}[/]")
    width = max(map(len, values))
    for name, value in values.items():
        console.print(f"  {name:{width}}  {NULL if value is None else escape(as_text(value))}")


def _request(request: Mapping[str, Any]) -> dict[str, Any]:
    time = f"{request['occurred_at'].replace(tzinfo=None).isoformat(sep=' ')} UTC"
    return {**{name: value for name, value in request.items() if name != "snapshots"}, "occurred_at": time}


def _print_parts(console: Screen, explained: Explanation) -> None:
    from tokenmart.explain import decimals, total

    whole = total(explained.parts)
    places = decimals([*(part.cost_usd for part in explained.parts), whole])
    price_places = decimals([part.usd_per_million for part in explained.parts])
    rows = [
        (
            _name(part),
            "" if part.number is not None else NULL if part.tokens is None else f"{part.tokens:,}",
            "" if part.number is not None else _number(part.usd_per_million, price_places),
            _number(part.cost_usd, places),
        )
        for part in explained.parts
    ]
    rows.append(("[bold]sum[/]", "", "", f"[bold]{_number(whole, places)}[/]"))
    print_table(console, "Computed cost", ("part", ">tokens", ">USD per million", ">USD"), rows)


def _name(part: Part) -> str:
    """The name of a part, and how it is priced if it has no price per million tokens of its own."""
    if part.number and part.usd_each:
        return f"{part.name}, {part.number:,} x {part.usd_each.normalize():f}"
    return f"{part.name}, as {part.priced_as}" if part.priced_as else part.name


def _number(value: Decimal | None, places: int) -> str:
    return NULL if value is None else f"{value:,.{places}f}"


def _price(price: Mapping[str, Any]) -> dict[str, Any]:
    """What the price row is of, and when it holds, in words."""
    tier = price["service_tier"]
    begin, end = price["from_minute"], price["to_minute"]
    return {
        "price_id": price["price_id"],
        "price_basis": _basis(price),
        "service tier": tier if price["priced_tier"] in (tier, None) else f"{tier}, at {price['priced_tier']} prices",
        "days": _days(price["valid_from"], price["valid_to"]),
        **({} if begin is None and end is None else {"hours": f"{_hour(begin, 0)} to {_hour(end, 24 * 60)} UTC"}),
        "input tokens": _limits(price["above_input_tokens"], price["up_to_input_tokens"]),
        "source": f"{price['price_source']}, as of {price['priced_as_of']}",
    }


def _override(override: Mapping[str, Any]) -> dict[str, Any]:
    """What the user's own price or discount is for, in words."""
    share = override["discount_share"]
    limits = {name: override[name] for name in ("provider", "service_tier", "team", "project") if override[name]}
    return {
        "price_override_id": override["override_id"],
        "discount": "none" if share is None else f"{(100 * share).normalize():f}% of the list price",
        "model_pattern": override["model_pattern"],
        **limits,
        "days": _days(override["valid_from"], override["valid_to"]),
    }


def _basis(price: Mapping[str, Any]) -> str:
    basis, vendor = price["price_basis"], price["provider"]
    words = {
        "provider": f"the own price list of the provider ({vendor})",
        "passed_on": f"the price of the model's vendor ({vendor}), which the provider passes on",
        "override": f"the price list of the provider ({vendor}), less the discount in price_overrides",
        "vendor": f"the price of the model's vendor ({vendor}), because the log does not name the provider",
    }
    return f"{basis}: {words[basis]}" if basis in words else as_text(basis)


def _days(first: dt.date | None, end: dt.date | None) -> str:
    """The days on which a price holds. `end` is the first day after them."""
    last = end - dt.timedelta(days=1) if end else None
    if first and last:
        return f"{first} to {last}"
    return f"from {first}" if first else f"until {last}" if last else "all days"


def _hour(minute: int | None, default: int) -> str:
    minute = default if minute is None else minute
    return f"{minute // 60:02}:{minute % 60:02}"


def _limits(above: int | None, up_to: int | None) -> str:
    limits = [] if above is None else [f"more than {above:,}"]
    if up_to is not None:
        limits.append(f"at most {up_to:,}")
    return " and ".join(limits) or "any number"
