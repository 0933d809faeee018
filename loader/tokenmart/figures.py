"""Writes amounts, counts, shares and durations as short texts for people."""

from decimal import Decimal

from tokenmart.screen import counted


def percent(part: int, whole: int) -> str:
    """A share, such as `1.8%`; `-` if the whole is 0."""
    return f"{part / whole:.1%}" if whole else "-"


def usd(value: Decimal | None) -> str:
    """An amount in USD: to the cent from 1 USD, otherwise to a millionth; `-` if it is unknown."""
    if value is None:
        return "-"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:,.6f}"


def compact(value: int | None) -> str:
    """A count, such as `6.2M`; from 10,000 with a unit, `-` if it is unknown."""
    if value is None:
        return "-"
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if value >= size:
            return f"{value / (1000 if unit == 'k' else size):,.1f}{unit}"
    return f"{value:,}"


def milliseconds(value: float | None) -> str:
    """A duration: `460 ms`, or `1.2 s` from a second; `-` if it is unknown."""
    return "-" if value is None else f"{value / 1000:,.1f} s" if value >= 1000 else f"{value:,.0f} ms"


def unpriced_notice(requests: int) -> str:
    """The notice that this number of requests is not in the cost, as markup."""
    verb, them = ("has", "it") if requests == 1 else ("have", "them")
    return f"[yellow]{counted(requests, 'request')} {verb} no price;[/] the cost excludes {them}"
