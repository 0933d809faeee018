"""Prints the summary of the marts: totals, sparklines, models, days, windows and months."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from tokenmart.figures import compact, milliseconds, percent, unpriced_notice, usd
from tokenmart.screen import Screen, counted, print_table

if TYPE_CHECKING:
    # slow imports, needed only for types
    from tokenmart.profile import Target
    from tokenmart.report import Rows, Summary

SHOWN_MODELS = 12
SHOWN_DAYS = 14
BARS = "▁▂▃▄▅▆▇█"
NARROW = 60


def show_summary(console: Screen, summary: Summary, location: str, target: Target, *, are_samples: bool) -> None:
    """Prints the summary of the marts. `are_samples` is true if the run has read only samples."""
    totals = summary.totals
    if not totals:
        console.print("There is no summary, because the mart daily_costs has not been built.")
        return
    if not totals["requests"]:
        console.print("The marts are empty: no requests have been loaded.")
        return
    days = _without_gaps(summary.days)
    lines = [
        f"[bold]{usd(totals['cost_usd'])}[/] for [bold]{counted(totals['requests'], 'request')}[/]"
        f" on {counted(totals['days'], 'day')},"
        f" {totals['first_date']} to {totals['last_date']}",
        f"{compact(totals['input_tokens'])} tokens in, {compact(totals['output_tokens'])} out",
    ]
    if totals["errors"] is not None:
        lines[1] += (
            f"; {counted(totals['errors'], 'error')} ({percent(totals['errors'], totals['requests'])})"
            f" and {counted(totals['timeouts'], 'timeout')}"
        )
    if totals["unpriced_requests"]:
        lines.append(unpriced_notice(totals["unpriced_requests"]))
    console.print(
        Panel(Group(*lines, "", _sparklines(console, days)), title="Tokenmart", title_align="left"), soft_wrap=False
    )
    if summary.models:
        _print_models(console, summary.models)
    _print_days(console, summary.days)
    if summary.windows:
        _print_windows(console, summary.windows)
    if summary.months:
        _print_months(console, summary.months)
    console.print(f"The marts are in [bold]{escape(location)}[/].")
    if are_samples:
        console.print("Next, load your own logs: [bold]tokenmart run PATH[/]")
        return
    documented = f", or dbt docs generate{target.option} && dbt docs serve to see what every column means"
    console.print(f"Next: [bold]tokenmart status{target.option}[/]{'' if target.is_installed else documented}.")


def _sparklines(console: Screen, days: Rows) -> Table:
    """Draws a row of bars for each measure, as wide as the terminal allows."""
    is_narrow = console.width < NARROW
    maximum = {name: _maximum(days, name) for name in ("cost_usd", "requests", "duration_ms_p95")}
    peaks = [usd(maximum["cost_usd"]), f"{maximum['requests']:,}", milliseconds(maximum["duration_ms_p95"])]
    if not is_narrow:
        captions = (f"up to {peaks[0]} a day", f"up to {peaks[1]} a day", f"up to {peaks[2]}")
        peaks = ["unknown" if value is None else text for value, text in zip(maximum.values(), captions, strict=True)]
    # without the frame of the panel, the longest label, and two gaps of two characters
    width = max(console.width - 4 - len("requests") - 4 - max(map(len, peaks)), 1)
    size = -(-len(days) // width)
    spark = Table.grid(padding=(0, 2))
    for _ in range(3):
        spark.add_column(no_wrap=True)
    for label, name, peak in zip(("cost", "requests", "p95"), maximum, peaks, strict=True):
        if maximum[name] is not None:
            spark.add_row(label, sparkline([day[name] for day in days], width), peak)
    if size > 1:
        spark.add_row("", f"one bar: {size} days", "")
    return spark


def sparkline(values: Sequence[Any], width: int) -> str:
    """Draws values as a row of bars.

    More than `width` values are averaged in groups. Unknown values (None) are blank.
    """
    known = [None if value is None else float(value) for value in values]
    size = -(-len(known) // width) or 1
    groups = [[value for value in known[i : i + size] if value is not None] for i in range(0, len(known), size)]
    means = [sum(group) / len(group) if group else None for group in groups]
    maximum = max((mean for mean in means if mean is not None), default=0.0)
    return "".join(" " if mean is None else BARS[round(mean / maximum * 7) if maximum else 0] for mean in means)


def _without_gaps(days: Rows) -> Rows:
    """Every day from the first to the last. Days without requests have None for every figure."""
    known = {day["usage_date"]: day for day in days}
    first, last = days[0]["usage_date"], days[-1]["usage_date"]
    nothing = {"requests": None, "cost_usd": None, "duration_ms_p95": None}
    dates = (first + dt.timedelta(number) for number in range((last - first).days + 1))
    return [known.get(date, {"usage_date": date, **nothing}) for date in dates]


def _print_models(console: Screen, models: Rows) -> None:
    rows = []
    for row in models[:SHOWN_MODELS]:
        name = f"[dim]{escape(row['provider'])}/[/]{escape(row['model'])}"
        cost = usd(row["cost_usd"]) if row["cost_usd"] is not None else "[yellow]no price[/]"
        tokens = [compact(row[name]) for name in ("input_tokens", "output_tokens")]
        rows.append((name, f"{row['requests']:,}", cost, *tokens))
    more = f"and {len(models) - SHOWN_MODELS} more in daily_costs_by_model" if len(models) > SHOWN_MODELS else None
    columns = ("provider and model", ">requests", ">cost", ">tokens in?", ">out?")
    print_table(console, "By model", columns, rows, more)


def _print_days(console: Screen, days: Rows) -> None:
    shown = days[-SHOWN_DAYS:]
    maximum = max((float(row["cost_usd"] or 0) for row in shown), default=0.0)
    rows = []
    for row in shown:
        share = float(row["cost_usd"] or 0) / maximum if maximum else 0.0
        bar = f"[cyan]{'█' * round(share * 24)}[/]"
        figures = (f"{row['requests']:,}", usd(row["cost_usd"]), milliseconds(row["duration_ms_p95"]))
        rows.append((str(row["usage_date"]), *figures, bar))
    more = f"last {SHOWN_DAYS} of {len(days)} days; daily_costs has all" if len(days) > SHOWN_DAYS else None
    print_table(console, "By day", ("day", ">requests", ">cost", ">p95?", "?"), rows, more)


def _print_windows(console: Screen, windows: Rows) -> None:
    rows = []
    for row in windows:
        rate = f"{row['error_rate']:.2%}" if row["error_rate"] is not None else "-"
        rows.append(
            (
                str(row["window_days"]),
                f"{row['requests']:,}",
                usd(row["cost_usd"]),
                usd(row["projected_month_cost_usd"]),
                str(row["projection_days"]),
                rate,
                milliseconds(row["duration_ms_p95"]),
                f"{row['active_users']:,}",
            )
        )
    columns = (
        ">days",
        ">requests",
        ">cost",
        ">30 days at this pace?",
        ">complete days?",
        ">errors?",
        ">p95?",
        ">users?",
    )
    print_table(console, "Last days", columns, rows)


def _print_months(console: Screen, months: Rows) -> None:
    rows = [
        (
            f"{row['first_date']:%Y-%m}",
            f"{row['requests']:,}",
            usd(row["cost_usd"]),
            str(row["first_date"]),
            str(row["last_date"]),
        )
        for row in months
    ]
    columns = ("month", ">requests", ">cost", "from?", "to?")
    print_table(console, "Month to date and previous month", columns, rows)


def _maximum(rows: Rows, name: str) -> Any:
    return max((row[name] for row in rows if row[name] is not None), default=None)
