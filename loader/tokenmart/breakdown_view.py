"""Prints costs and errors by period or dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.markup import escape

from tokenmart.figures import percent, unpriced_notice, usd
from tokenmart.screen import Screen, counted, print_table

if TYPE_CHECKING:
    # slow imports, needed only for types
    from tokenmart.breakdown import Breakdown

COLUMNS = {
    "requests": ">requests",
    "failed_requests": ">failed",
    "errors": ">errors",
    "timeouts": ">timeouts",
    "input_tokens": ">tokens in??",
    "cache_read_tokens": ">cache read???",
    "cache_write_tokens": ">cache write???",
    "output_tokens": ">tokens out??",
    "cost_usd": ">cost",
}
"""The column of each measure that is shown, as for print_table."""
RATES = {"errors": ">error rate?", "timeouts": ">timeout rate??"}
"""The column of the share of requests with each of these measures."""


def show_breakdown(console: Screen, found: Breakdown, limit: int | None) -> None:
    """Prints a table with a row for each period or key, at most `limit` of them, and a row with the totals."""
    shown = found.rows if limit is None else found.rows[:limit]
    names = [name for name in found.measures if name in COLUMNS]
    has_rates = "requests" in found.measures and "errors" in found.measures
    rows = [(_label(found, row), *_figures(row, names, has_rates=has_rates)) for row in shown]
    totals = {name: value for name, value in found.totals.items() if name in found.measures}
    if "failed_requests" in found.measures:
        totals["failed_requests"] = found.totals["errors"] + found.totals["timeouts"]
    figures = _figures(totals, names, has_rates=has_rates)
    rows.append(("[bold]total[/]", *(f"[bold]{figure}[/]" for figure in figures)))
    more = len(found.rows) - len(shown)
    label = found.by if len(found.keys) == 1 else " and ".join(found.keys).replace("_", " ")
    print_table(
        console,
        f"{found.first_date} to {found.last_date}",
        (label, *(COLUMNS[name] for name in names), *(RATES.values() if has_rates else ())),
        rows,
        f"{counted(more, 'more row')}; to print all, use --limit, --json or --csv" if more else None,
    )
    if found.totals.get("unpriced_requests"):
        console.print(unpriced_notice(found.totals["unpriced_requests"]))


def _label(found: Breakdown, row: dict[str, Any]) -> str:
    if found.by == "month":
        return f"{row[found.keys[0]]:%Y-%m}"
    separator = "=" if found.by == "tag" else ": " if found.by == "type" else "/"
    return separator.join(escape(str(row[key])) for key in found.keys)


def _figures(row: dict[str, Any], names: list[str], *, has_rates: bool) -> list[str]:
    figures = [
        usd(row[name]) if name == "cost_usd" else "-" if row[name] is None else f"{row[name]:,}" for name in names
    ]
    return figures + [percent(row[name], row["requests"]) for name in RATES if has_rates]
