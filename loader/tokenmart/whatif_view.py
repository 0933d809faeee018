"""Prints what requests would cost at other prices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from tokenmart.screen import Screen, counted, print_table

if TYPE_CHECKING:
    # slow imports, needed only for types
    from tokenmart.whatif import Asked, Chosen, WhatIf

PARTS = {
    "uncached input": "input_cost_usd",
    "cache read": "cache_read_cost_usd",
    "cache write": "cache_write_cost_usd",
    "output": "output_cost_usd",
    "request fees": "request_cost_usd",
    "web searches": "web_search_cost_usd",
}

NAMES = {
    "canonical_model": "model",
    "model_family": "model family",
    "model": "reported model",
    "user_id": "user",
}


def show_what_if(console: Screen, found: WhatIf) -> None:
    """Prints which requests are compared, the actual and the hypothetical costs, and what is not the same."""
    requests, asked = found.requests, found.asked
    left_out = requests["chosen"] - requests["compared"]
    more = f"; {left_out:,} left out" if left_out else ""
    of = _chosen(found.chosen)
    console.print(
        f"[bold]{counted(requests['compared'], 'request')}[/]{f' of the {escape(of)}' if of else ''},"
        f" {found.first_date} to {found.last_date}{more}"
    )
    price = found.price_id or counted(found.price_rows, "row") + " of the price list"
    console.print(f"what if: {escape(_changed(asked))}; price: {escape(price)}")
    _print_costs(console, found)
    for sentence in found.left_out:
        console.print(f"[yellow]{escape(sentence)}[/]")
    for sentence in found.notes:
        console.print(escape(sentence))


def _chosen(chosen: Chosen) -> str:
    return ", ".join(f"{NAMES.get(column, column)} {' or '.join(values)}" for column, values in chosen.items())


def _changed(asked: Asked) -> str:
    changes = {
        "model ": asked.to_model,
        "provider ": asked.to_provider,
        "service tier ": asked.to_tier,
        "prices of ": asked.at,
        "no caching": "" if asked.without_cache else None,
    }
    return ", ".join(name + value for name, value in changes.items() if value is not None)


def _print_costs(console: Screen, found: WhatIf) -> None:
    from tokenmart.explain import decimals

    tokens = {
        "uncached input": found.tokens["input_tokens"]
        - found.tokens["cache_read_tokens"]
        - found.tokens["cache_write_tokens"],
        "cache read": found.tokens["cache_read_tokens"],
        "cache write": found.tokens["cache_write_tokens"],
        "output": found.tokens["output_tokens"],
        "web searches": found.tokens["web_search_requests"],
    }
    actual, what_if = found.actual, found.what_if
    places = decimals([*actual.values(), *what_if.values(), found.difference_usd])

    def amounts(actual_name: str, what_if_name: str, *, is_compared: bool = found.has_same_parts) -> tuple[str, ...]:
        old, new = actual[actual_name], what_if[what_if_name]
        difference = new - old if is_compared and old is not None and new is not None else None
        return (
            *("" if amount is None else f"{amount:,.{places}f}" for amount in (old, new)),
            "" if difference is None else f"{difference:{'+' if difference else ''},.{places}f}",
            f"{difference / old:+.1%}" if difference and old else "",
        )

    rows = [
        (name, f"{tokens[name]:,}" if name in tokens else "", *amounts(part, part))
        for name, part in PARTS.items()
        if actual[part] or what_if[part] or tokens.get(name)
    ]
    if actual["computed_cost_usd"] != actual["cost_usd"]:
        rows.append(("computed cost", "", *amounts("computed_cost_usd", "cost_usd")))
    total = amounts("cost_usd", "cost_usd", is_compared=True)
    rows.append(("[bold]cost[/]", "", *(f"[bold]{amount}[/]" for amount in total)))
    if (tokens["cache read"] or tokens["cache write"]) and not found.asked.without_cache:
        rows.append(("without caching", "", *amounts("cost_without_cache_usd", "cost_without_cache_usd")))
    print_table(console, "", ("", ">tokens?", ">actual USD", ">what if USD", ">difference USD", ">%"), rows)
