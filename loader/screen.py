"""Shows loads, builds and marts to a person, in a terminal of any width."""

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from rich.console import Console, Group
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from loader.build import Build
from loader.doctor import Finding
from loader.load import Preview
from loader.profile import Target
from loader.reader import Load
from loader.report import Rows, Status, Summary

BARS = "▁▂▃▄▅▆▇█"
SHOWN_MODELS = 12
SHOWN_DAYS = 14
SHOWN_FILES = 8
WIDE = 200


def show_load(console: Console, load: Load, seconds: float, target: Target) -> None:
    """What was landed, skipped and rejected, and the first place of each reason."""
    read = [file for file in load.files if file.read]
    if read:
        formats = ", ".join(sorted({str(file.format) for file in read}))
        console.print(
            f"[bold green]Landed[/] {load.total('landed'):,} of {load.total('read'):,} new lines from"
            f" {len(read):,} of {len(load.files):,} files ({escape(formats)}) in {seconds:.1f} s;"
            f" {load.total('skipped'):,} skipped, {load.total('rejected'):,} rejected"
        )
    elif not any(file.problem for file in load.files):
        console.print(f"Nothing new in {len(load.files):,} files.")
    for reason, count in sorted(load.reasons.items(), key=lambda item: -item[1]):
        console.print(Text.assemble(("  rejected ", "yellow"), f"{count:,}: {reason}, first at {load.places[reason]}"))
    waiting = [file.name for file in load.files if file.waiting]
    if waiting:
        more = f" and {len(waiting) - 1:,} more" if len(waiting) > 1 else ""
        console.print(
            f"  waiting for the end of the last line of {escape(waiting[0])}{more}; --final reads it as it is"
        )
    for file in load.files:
        if file.problem:
            console.print(Text.assemble(("  broken off " if file.read else "  left out ", "yellow"), file.problem))
    if load.reasons:
        console.print(f"  see them with: tokenmart rejects{target.option}")


def show_build(console: Console, build: Build) -> None:
    """Whether dbt built everything, and what failed."""
    for failure in build.failures:
        console.print(Text.assemble(("  failed ", "red"), failure))
    if build.hint:
        console.print(Text(f"  {build.hint}"))
    for warning in build.warnings:
        console.print(Text.assemble(("  warned ", "yellow"), warning))
    verdict = "[bold red]Not built[/]" if build.failures else "[bold green]Built[/]"
    console.print(f"{verdict} {build.models} models and seeds, {build.tests} tests, in {build.seconds:.1f} s")


def show_finding(console: Console, finding: Finding) -> None:
    """One line of what was looked at, and one of what to do."""
    mark = Text(" ok  ", "green") if finding.is_fine else Text("wrong", "bold red")
    console.print(Text.assemble(mark, "  ", (finding.what, "bold"), ": ", finding.found))
    if finding.to_do:
        console.print(Text(f"       {finding.to_do}"))


def show_summary(console: Console, summary: Summary, location: str, target: Target) -> None:
    """The marts at a glance."""
    totals = summary.totals
    if not totals["requests"]:
        console.print("The marts are empty: no request has been loaded.")
        return
    days = _without_gaps(summary.days)
    lines = [
        f"[bold]{_usd(totals['cost_usd'])}[/] for [bold]{totals['requests']:,}[/] requests on {totals['days']:,} days,"
        f" {totals['first_date']} to {totals['last_date']}",
        f"{_count(totals['input_tokens'])} tokens in, {_count(totals['output_tokens'])} out;"
        f" {totals['errors']:,} errors ({_percent(totals['errors'], totals['requests'])})"
        f" and {totals['timeouts']:,} timeouts",
    ]
    if totals["unpriced_requests"]:
        lines.append(f"[yellow]{totals['unpriced_requests']:,} requests have no price[/] and are missing in the cost")
    spark = Table.grid(padding=(0, 2))
    spark.add_row("cost", sparkline([day["cost_usd"] for day in days]), f"up to {_usd(_most(days, 'cost_usd'))} a day")
    spark.add_row("requests", sparkline([day["requests"] for day in days]), f"up to {_most(days, 'requests'):,} a day")
    spark.add_row(
        "p95",
        sparkline([day["duration_ms_p95"] for day in days]),
        f"up to {_ms(_most(days, 'duration_ms_p95'))}",
    )
    console.print(Panel(Group(*map(Text.from_markup, lines), Text(), spark), title="Tokenmart", title_align="left"))
    console.print(_models(summary.models))
    console.print(_days(summary.days))
    console.print(_windows(summary.windows))
    console.print(_months(summary.months))
    console.print(f"The marts are in [bold]{escape(location)}[/].")
    console.print(
        f"Next: [bold]tokenmart status{target.option}[/], or dbt docs generate{target.option} && dbt docs serve"
        " for what every column means."
    )


def show_status(console: Console, status: Status, location: str, target: Target) -> None:
    """The last loads, the rejects and what is pending."""
    console.print(f"[bold]{escape(location)}[/]: {status.events:,} landed rows")
    if status.last_loaded_at:
        console.print(
            f"last loaded {status.last_loaded_at:%Y-%m-%d %H:%M} UTC,"
            f" newest request {status.newest_event_at:%Y-%m-%d %H:%M} UTC"
        )
    loads = _table("Last loads", "load", "at (UTC)", ">files", ">read", ">landed", ">skipped", ">rejected")
    for row in status.loads:
        counts = [f"{row[name]:,}" for name in ("files", "read", "landed", "skipped", "rejected")]
        loads.add_row(row["load_id"], f"{row['loaded_at']:%Y-%m-%d %H:%M:%S}", *counts)
    console.print(loads)
    if status.rejects:
        rejects = _table("Rejected lines", "reason", ">lines", "such as in")
        for row in status.rejects:
            rejects.add_row(escape(row["reason"]), f"{row['lines']:,}", escape(row["first_file"]))
        console.print(rejects)
    if status.pending:
        command = f"tokenmart build{target.option}"
        console.print(f"[yellow]Loads that are not in the marts yet: {status.pending:,}[/]; {command}")
    else:
        console.print("[green]Every load is in the marts.[/]")
    if status.stray:
        console.print(f"{status.stray:,} rows are of a load that was broken off; no model reads them.")


def show_rejects(console: Console, rows: Rows) -> None:
    """One rejected line a row: where it is, why, and how it begins."""
    for row in rows:
        console.print(Text.assemble((f"{row['file']}:{row['line']}", "bold"), "  ", (row["reason"], "yellow")))
        console.print(Text("    " + row["bytes"][:WIDE].decode("utf-8", "backslashreplace")))
    console.print(f"{len(rows):,} rejected lines" if rows else "No line was rejected.")


def show_preview(console: Console, files: Sequence[Preview]) -> None:
    """What a load would read, and the first rows as they would land."""
    for file in files:
        known = f", read before up to byte {file.first_offset:,}" if file.first_offset else ""
        console.print(Text.assemble((file.name, "bold"), f": {file.format or 'unknown'}, {file.bytes:,} bytes{known}"))
        if file.problem:
            console.print(Text.assemble(("  would be left out: ", "yellow"), file.problem))
        elif not file.events and not file.rejected:
            console.print("  nothing new" if file.first_offset else "  no request in its first lines")
        for event in file.events:
            shown = ", ".join(f"{name}={value}" for name, value in event.items() if value is not None)
            console.print(Text.assemble(("  would land ", "green"), shown))
        for row in file.rejected:
            console.print(
                Text.assemble(("  would be rejected ", "yellow"), f"{row['reason']}: {str(row['line'])[:80]}")
            )


def sparkline(values: Sequence[Any], width: int = 60) -> str:
    """The values as a row of bars; more than `width` of them are averaged in groups. Unknown is a blank."""
    known = [None if value is None else float(value) for value in values]
    size = -(-len(known) // width) or 1
    groups = [[value for value in known[i : i + size] if value is not None] for i in range(0, len(known), size)]
    means = [sum(group) / len(group) if group else None for group in groups]
    most = max((mean for mean in means if mean is not None), default=0.0)
    return "".join(" " if mean is None else BARS[round(mean / most * 7) if most else 0] for mean in means)


def _without_gaps(days: Rows) -> Rows:
    """Every day from the first to the last one; those without requests know nothing but that."""
    known = {day["usage_date"]: day for day in days}
    first, last = days[0]["usage_date"], days[-1]["usage_date"]
    nothing = {"requests": 0, "cost_usd": None, "duration_ms_p95": None}
    every = (first + dt.timedelta(number) for number in range((last - first).days + 1))
    return [known.get(date, {"usage_date": date, **nothing}) for date in every]


def _models(models: Rows) -> Table:
    table = _table("By model", "provider and model", ">requests", ">tokens in", ">out", ">cost")
    for row in models[:SHOWN_MODELS]:
        name = f"[dim]{escape(row['provider'])}/[/]{escape(row['model'])}"
        cost = _usd(row["cost_usd"]) if row["cost_usd"] is not None else "[yellow]no price[/]"
        table.add_row(name, f"{row['requests']:,}", _count(row["input_tokens"]), _count(row["output_tokens"]), cost)
    if len(models) > SHOWN_MODELS:
        table.caption = f"and {len(models) - SHOWN_MODELS} more in daily_costs_by_model"
    return table


def _days(days: Rows) -> Table:
    table = _table("By day", "day", ">requests", ">cost", ">p95", "")
    shown = days[-SHOWN_DAYS:]
    most = max((float(row["cost_usd"] or 0) for row in shown), default=0.0)
    for row in shown:
        share = float(row["cost_usd"] or 0) / most if most else 0.0
        bar = f"[cyan]{'█' * round(share * 24)}[/]"
        table.add_row(
            str(row["usage_date"]),
            f"{row['requests']:,}",
            _usd(row["cost_usd"]),
            _ms(row["duration_ms_p95"]),
            bar,
        )
    if len(days) > SHOWN_DAYS:
        table.caption = f"the last {SHOWN_DAYS} of {len(days)} days in daily_costs"
    return table


def _windows(windows: Rows) -> Table:
    table = _table(
        "Up to the last day",
        ">days",
        ">requests",
        ">cost",
        ">30 days at this pace",
        ">complete days",
        ">users",
        ">errors",
        ">p95",
    )
    for row in windows:
        rate = f"{row['error_rate']:.2%}" if row["error_rate"] is not None else "-"
        table.add_row(
            str(row["window_days"]),
            f"{row['requests']:,}",
            _usd(row["cost_usd"]),
            _usd(row["projected_month_cost_usd"]),
            str(row["projection_days"]),
            f"{row['active_users']:,}",
            rate,
            _ms(row["duration_ms_p95"]),
        )
    return table


def _months(months: Rows) -> Table:
    table = _table("Month to date, and the month before", "month", "from", "to", ">requests", ">cost")
    for row in months:
        dates = (f"{row['first_date']:%Y-%m}", str(row["first_date"]), str(row["last_date"]))
        table.add_row(*dates, f"{row['requests']:,}", _usd(row["cost_usd"]))
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        caption_justify="left",
    )
    for column in columns:
        table.add_column(column.lstrip(">"), justify="right" if column.startswith(">") else "left", overflow="fold")
    return table


def _most(rows: Rows, name: str) -> Any:
    return max((row[name] for row in rows if row[name] is not None), default=None)


def _usd(value: Decimal | None) -> str:
    if value is None:
        return "-"
    return f"${value:,.2f}" if value >= 1 or value == 0 else f"${value:,.6f}"


def _count(value: int | None) -> str:
    if value is None:
        return "-"
    for size, unit in ((10**9, "G"), (10**6, "M"), (10**4, "k")):
        if value >= size:
            return f"{value / (1000 if unit == 'k' else size):,.1f}{unit}"
    return f"{value:,}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value / 1000:,.1f} s" if value >= 1000 else f"{value:,.0f} ms"


def _percent(part: int, whole: int) -> str:
    return f"{part / whole:.1%}" if whole else "-"
