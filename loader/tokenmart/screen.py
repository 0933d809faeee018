"""Shows loads, builds and marts to a person, in a terminal of any width."""

from __future__ import annotations

import csv
import datetime as dt
import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, is_dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    # none of which a terminal needs
    from tokenmart.build import Build
    from tokenmart.doctor import Finding
    from tokenmart.load import Preview
    from tokenmart.profile import Target
    from tokenmart.report import Rows, Status, Summary
    from tokenmart.results import LoadResult
    from tokenmart.undo import Undone

BARS = "▁▂▃▄▅▆▇█"
SHOWN_MODELS = 12
SHOWN_DAYS = 14
SHOWN_FILES = 8
SHOWN_KEYS = 20
WIDE = 200
NARROW = 60
NAME_WIDTH = 17  # a load id is not broken into two

_HIDDEN = (
    *((0x00, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200F), (0x2028, 0x202E)),
    *((0x2060, 0x206F), (0xD800, 0xDFFF), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xE0000, 0xE007F)),
)
_VISIBLE = {
    code: f"\\x{code:02x}"
    if code < 256
    else f"\\x{code - 0xDC00:02x}"
    if 0xDC80 <= code <= 0xDCFF
    else f"\\u{code:04x}"
    for first, last in _HIDDEN
    for code in range(first, last + 1)
}
_VISIBLE_BUT_LINES = {code: text for code, text in _VISIBLE.items() if code != 0x0A}


def visible(text: str) -> str:
    r"""Makes characters visible that move the cursor, change other output or cannot be seen, such as `\x1b`."""
    return text.translate(_VISIBLE)


def counted(number: int, what: str) -> str:
    """A number of things: `1 file`, `2 files`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


class Screen(Console):
    """The only way to the terminal. Data that is printed cannot send it control characters or start new lines.

    On a terminal, long lines break between words. A file or a pipe gets them unbroken.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)
        self.soft_wrap = not (self.is_terminal or "width" in options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Like rich's own, with every character visible. Each printed line is a separate text."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Like rich's own; makes visible what was not passed as a string."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(segment.text.translate(_VISIBLE_BUT_LINES), segment.style)


def print_json(value: Any) -> None:
    """Prints a value, dataclasses and decimals included, as JSON in ASCII."""

    def plain(item: Any) -> Any:
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        return item.isoformat() if hasattr(item, "isoformat") else _text(item)

    click.echo(json.dumps(value, default=plain, indent=2))


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Prints rows as CSV, with control characters but newlines made visible; returns their number."""
    writer, printed = csv.writer(sys.stdout, lineterminator="\n"), 0
    writer.writerow([name.translate(_VISIBLE_BUT_LINES) for name in columns])
    for row in rows:
        writer.writerow(["" if value is None else _text(value).translate(_VISIBLE_BUT_LINES) for value in row])
        printed += 1
    return printed


def _text(value: Any) -> str:
    """A value of a query as text; numbers have all their digits."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(value, default=_text) if isinstance(value, list | tuple | dict) else str(value)


def show_load(console: Console, load: LoadResult, seconds: float, target: Target) -> None:
    """Prints how many lines were landed, skipped and rejected, and where each reason first occurred."""
    read = [file for file in load.files if file.read]
    if read:
        formats = ", ".join(sorted({str(file.format) for file in read}))
        console.print(
            f"[bold green]Landed[/] {load.total('landed'):,} of {counted(load.total('read'), 'new line')} from"
            f" {len(read):,} of {counted(len(load.files), 'file')} ({escape(formats)}) in {seconds:.1f} s;"
            f" {load.total('skipped'):,} skipped, {load.total('rejected'):,} rejected"
        )
    elif not any(file.problem for file in load.files):
        console.print(f"Nothing new in {counted(len(load.files), 'file')}.")
    for reason, count in sorted(load.reasons.items(), key=lambda item: -item[1]):
        console.print(f"[yellow]  rejected [/]{count:,}: {escape(reason)}, first at {escape(load.places[reason])}")
    waiting = [file.name for file in load.files if file.waiting]
    if waiting:
        more = f" and {len(waiting) - 1:,} more" if len(waiting) > 1 else ""
        console.print(
            f"  the last line of {escape(waiting[0])}{more} has no newline yet and waits for the next load;"
            " --final reads it"
        )
    problems = [file for file in load.files if file.problem]
    # first the files that the user named or that could not be read to the end, then those found in a folder
    problems.sort(key=lambda file: file.is_foreign and not file.is_named)
    for file in problems[:SHOWN_FILES]:
        what = "left out" if not file.read else "nothing landed" if file.skipped == file.read else "stopped early"
        console.print(f"[yellow]  {what} [/]{escape(str(file.problem))}")
    if len(problems) > SHOWN_FILES:
        console.print(f"  and {len(problems) - SHOWN_FILES:,} more left out; --json lists them all")
    if load.reasons:
        console.print(f"  list them with: tokenmart rejects{target.option}")
    if load.location:
        console.print(f"  target {_place(target, load.location)}, schema {target.raw_schema}")
    if load.samples:
        console.print(_samples(load.samples, target))


def show_build(console: Console, build: Build, target: Target) -> None:
    """Prints what dbt built and where, what failed, and what to do about it."""
    if build.unchanged_since:
        since = f"{build.unchanged_since:%Y-%m-%d %H:%M:%S} UTC"
        console.print(f"[bold green]Nothing to build:[/] nothing has changed since the build of {since}.")
        return
    _show_problems(console, build)
    if build.unrecorded:
        console.print(f"[yellow]  could not be recorded for tokenmart status: [/]{escape(build.unrecorded)}")
    verdict = "[bold red]Built with failures:[/]" if build.failures else "[bold green]Built[/]"
    console.print(f"{verdict} {build.outcome}, in {build.seconds:.1f} s")
    if build.location:
        console.print(f"  target {_place(target, build.location)}, schema {target.marts_schema}")


def show_audit(console: Console, audit: Build, target: Target) -> None:
    """Prints the result of an audit and where, what failed, and what to do about it."""
    _show_problems(console, audit)
    verdict = "[bold red]The audit failed:[/]" if audit.failures else "[bold green]The audit passed:[/]"
    console.print(f"{verdict} {audit.tests_outcome}, in {audit.seconds:.1f} s")
    if audit.location:
        console.print(f"  target {_place(target, audit.location)}, schema {target.marts_schema}")


def _show_problems(console: Console, build: Build) -> None:
    for failure in build.failures:
        console.print(f"[red]  failed [/]{escape(failure)}")
    if build.hint:
        console.print(f"  {escape(build.hint)}")
    for warning in build.warnings:
        console.print(f"[yellow]  warning [/]{escape(warning)}")


def _place(target: Target, location: str) -> str:
    return f"{escape(target.name)} ({escape(target.type)}): {escape(location)}"


def _samples(events: int, target: Target) -> str:
    return (
        f"[yellow]The target also contains {counted(events, 'sample event')};[/] to remove:"
        f" tokenmart undo --samples{target.option}"
    )


def show_finding(console: Console, finding: Finding) -> None:
    """Prints one line on what was checked, and one on what to do."""
    mark = "[green] ok  [/]" if finding.is_fine else "[bold red]error[/]"
    console.print(f"{mark}  [bold]{escape(finding.what)}[/]: {escape(finding.found)}")
    if finding.to_do:
        console.print(f"       {escape(finding.to_do)}")


def show_summary(console: Console, summary: Summary, location: str, target: Target, *, are_samples: bool) -> None:
    """Prints the marts at a glance. `are_samples` says that the run has read nothing but samples."""
    totals = summary.totals
    if not totals:
        console.print("There is no summary, because the mart daily_costs has not been built.")
        return
    if not totals["requests"]:
        console.print("The marts are empty: no requests have been loaded.")
        return
    days = _without_gaps(summary.days)
    lines = [
        f"[bold]{_usd(totals['cost_usd'])}[/] for [bold]{counted(totals['requests'], 'request')}[/]"
        f" on {counted(totals['days'], 'day')},"
        f" {totals['first_date']} to {totals['last_date']}",
        f"{_count(totals['input_tokens'])} tokens in, {_count(totals['output_tokens'])} out",
    ]
    if totals["errors"] is not None:
        lines[1] += (
            f"; {counted(totals['errors'], 'error')} ({_percent(totals['errors'], totals['requests'])})"
            f" and {counted(totals['timeouts'], 'timeout')}"
        )
    if totals["unpriced_requests"]:
        verb, them = ("has", "it") if totals["unpriced_requests"] == 1 else ("have", "them")
        lines.append(
            f"[yellow]{counted(totals['unpriced_requests'], 'request')} {verb} no price;[/] the cost excludes {them}"
        )
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
        console.print("Next: your own logs, with [bold]tokenmart run PATH[/].")
        return
    documented = f", or dbt docs generate{target.option} && dbt docs serve to see what every column means"
    console.print(f"Next: [bold]tokenmart status{target.option}[/]{'' if target.is_installed else documented}.")


def show_status(console: Console, status: Status, location: str, target: Target) -> None:
    """Prints the last loads, the last build, the rejected lines and what is pending."""
    console.print(f"[bold]{escape(location)}[/]: {counted(status.events, 'row')} in events")
    if status.last_loaded_at:
        console.print(
            f"last load {status.last_loaded_at:%Y-%m-%d %H:%M} UTC,"
            f" newest request {status.newest_event_at:%Y-%m-%d %H:%M} UTC"
        )
    if status.samples:
        console.print(_samples(status.samples, target))
    _print_table(
        console,
        "Last loads",
        ("load", "at (UTC)??", ">files?????", ">read????", ">landed", ">skipped???", ">rejected?"),
        [
            (
                row["load_id"],
                f"{row['loaded_at']:%Y-%m-%d %H:%M:%S}",
                *(f"{row[name]:,}" for name in ("files", "read", "landed", "skipped", "rejected")),
            )
            for row in status.loads
        ],
    )
    if status.rejects:
        _print_table(
            console,
            "Rejected lines",
            ("reason", ">lines", "for example in~"),
            [(escape(row["reason"]), f"{row['lines']:,}", escape(row["first_file"])) for row in status.rejects],
        )
    if status.omitted:
        more = len(status.omitted) - SHOWN_KEYS
        _print_table(
            console,
            "Values left out",
            ("key", ">lines", "reason"),
            [(escape(row["key"]), f"{row['lines']:,}", escape(row["reason"])) for row in status.omitted[:SHOWN_KEYS]],
            f"and {more:,} more in omitted_values" if more > 0 else None,
        )
    if build := status.last_build:
        verdict = (
            "succeeded" if build["is_successful"] else f"[bold red]failed[/] ({counted(build['failures'], 'failure')})"
        )
        warned = f" with [yellow]{counted(build['warnings'], 'warning')}[/]" if build["warnings"] else ""
        console.print(f"Last build {build['finished_at']:%Y-%m-%d %H:%M} UTC: {verdict}{warned}")
        for kind, color in (("failures", "red"), ("warnings", "yellow")):
            for message in build["messages"].get(kind, ()):
                console.print(f"[{color}]  {kind.removesuffix('s')} [/]{escape(message)}")
    command = f"tokenmart build{target.option}"
    if status.pending:
        console.print(f"[yellow]Loads that are not in the marts yet: {status.pending:,}.[/] Build them with: {command}")
    elif status.has_undone:
        console.print(f"[yellow]The marts still contain rows of loads that were undone.[/] Remove them with: {command}")
    else:
        console.print("[green]Every load is in the marts.[/]")
    if status.orphaned:
        verb = "belongs" if status.orphaned == 1 else "belong"
        console.print(f"{counted(status.orphaned, 'row')} {verb} to an interrupted load; no model reads them.")


def show_rejects(console: Console, rows: Rows) -> None:
    """Prints each rejected line: where it is, why it was rejected, and how it begins."""
    for row in rows:
        console.print(f"[bold]{escape(row['file'])}:{row['line']}[/]  [yellow]{escape(row['reason'])}[/]")
        console.print("    " + escape(row["bytes"][:WIDE].decode("utf-8", "backslashreplace")))
    console.print(counted(len(rows), "rejected line") if rows else "No lines were rejected.")


def show_preview(console: Console, files: Sequence[Preview]) -> None:
    """Prints what a load would read, and the first rows as they would be loaded."""
    for file in files:
        known = f", already read up to byte {file.first_offset:,}" if file.first_offset else ""
        console.print(f"[bold]{escape(file.name)}[/]: {file.format or 'unknown'}, {file.bytes:,} bytes{known}")
        if file.problem:
            console.print(f"[yellow]  would be left out: [/]{escape(file.problem)}")
        elif not file.events and not file.rejected:
            console.print("  nothing new" if file.first_offset else "  no requests in its first lines")
        for event in file.events:
            shown = ", ".join(f"{name}={value}" for name, value in event.items() if value is not None)
            console.print(f"[green]  would land [/]{escape(shown)}")
        for row in file.rejected:
            console.print(f"[yellow]  would be rejected [/]{escape(row['reason'])}: {escape(str(row['line'])[:80])}")


def show_undone(console: Console, undone: Undone, target: Target, *, is_done: bool) -> None:
    """Prints what an undo deletes, or has deleted."""
    verb = "Deleted" if is_done else "This deletes"
    console.print(
        f"{verb} {counted(undone.events, 'event')} and {counted(undone.rejected, 'rejected line')}"
        f" of {counted(undone.files, 'file')} in {counted(len(undone.load_ids), 'load')},"
        f" from {_place(target, undone.location)}, schema {target.raw_schema}"
    )
    for name in undone.names[:SHOWN_FILES]:
        console.print(f"  {escape(name)}")
    if len(undone.names) > SHOWN_FILES:
        console.print(f"  and {len(undone.names) - SHOWN_FILES:,} more")
    if is_done:
        console.print("To load these files again, use: tokenmart load --again")


def show_rows(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Any]], left_out: int) -> None:
    """Prints the result of a query: a table, or a list of each row's values if the table would not fit the screen."""
    cells = [["[dim]NULL[/]" if value is None else escape(_text(value)) for value in row] for row in rows]
    is_text = [any(isinstance(row[i], str | list | tuple | dict) for row in rows) for i in range(len(columns))]
    widths = [
        max(cell_len(Text.from_markup(visible(cell)).plain) for cell in (escape(name), *(row[i] for row in cells)))
        for i, name in enumerate(columns)
    ]
    least = [min(width, NAME_WIDTH) if is_text[i] else width for i, width in enumerate(widths)]
    if sum(least) + 2 * (len(columns) - 1) <= console.width:
        table = Table(box=None, pad_edge=False)
        for i, name in enumerate(columns):
            is_number = any(isinstance(row[i], int | float | Decimal) for row in rows)
            justify: Any = "right" if is_number else "left"
            table.add_column(escape(name), justify=justify, overflow="fold", min_width=least[i], no_wrap=not is_text[i])
        for row in cells:
            table.add_row(*row)
        console.print(table, soft_wrap=False)
    else:
        label = max(map(cell_len, columns))
        for number, row in enumerate(cells, start=1):
            console.print(f"[bold]row {number:,}[/]")
            for name, cell in zip(columns, row, strict=True):
                console.print(f"  {escape(name):{label}}  {cell}")
    more = f"; {left_out:,} left out, raise --limit to print more" if left_out else ""
    console.print(f"{counted(len(rows), 'row')}{more}")


def _sparklines(console: Console, days: Rows) -> Table:
    """Draws a row of bars for each measure, as wide as the screen allows."""
    is_narrow = console.width < NARROW
    most = {name: _most(days, name) for name in ("cost_usd", "requests", "duration_ms_p95")}
    peaks = [_usd(most["cost_usd"]), f"{most['requests']:,}", _ms(most["duration_ms_p95"])]
    if not is_narrow:
        said = (f"up to {peaks[0]} a day", f"up to {peaks[1]} a day", f"up to {peaks[2]}")
        peaks = ["unknown" if value is None else text for value, text in zip(most.values(), said, strict=True)]
    # the panel's frame, the longest label, and two columns between the three parts
    width = max(console.width - 4 - len("requests") - 4 - max(map(len, peaks)), 1)
    size = -(-len(days) // width)
    spark = Table.grid(padding=(0, 2))
    for _ in range(3):
        spark.add_column(no_wrap=True)
    for label, name, peak in zip(("cost", "requests", "p95"), most, peaks, strict=True):
        if most[name] is not None:
            spark.add_row(label, sparkline([day[name] for day in days], width), peak)
    if size > 1:
        spark.add_row("", f"one bar: {size} days", "")
    return spark


def sparkline(values: Sequence[Any], width: int) -> str:
    """Draws the values as a row of bars; more than `width` values are averaged in groups. Unknown values are blank."""
    known = [None if value is None else float(value) for value in values]
    size = -(-len(known) // width) or 1
    groups = [[value for value in known[i : i + size] if value is not None] for i in range(0, len(known), size)]
    means = [sum(group) / len(group) if group else None for group in groups]
    most = max((mean for mean in means if mean is not None), default=0.0)
    return "".join(" " if mean is None else BARS[round(mean / most * 7) if most else 0] for mean in means)


def _without_gaps(days: Rows) -> Rows:
    """Every day from the first to the last; days without requests have no figures."""
    known = {day["usage_date"]: day for day in days}
    first, last = days[0]["usage_date"], days[-1]["usage_date"]
    nothing = {"requests": None, "cost_usd": None, "duration_ms_p95": None}
    every = (first + dt.timedelta(number) for number in range((last - first).days + 1))
    return [known.get(date, {"usage_date": date, **nothing}) for date in every]


def _print_models(console: Console, models: Rows) -> None:
    rows = []
    for row in models[:SHOWN_MODELS]:
        name = f"[dim]{escape(row['provider'])}/[/]{escape(row['model'])}"
        cost = _usd(row["cost_usd"]) if row["cost_usd"] is not None else "[yellow]no price[/]"
        tokens = [_count(row[name]) for name in ("input_tokens", "output_tokens")]
        rows.append((name, f"{row['requests']:,}", cost, *tokens))
    more = f"and {len(models) - SHOWN_MODELS} more in daily_costs_by_model" if len(models) > SHOWN_MODELS else None
    columns = ("provider and model", ">requests", ">cost", ">tokens in?", ">out?")
    _print_table(console, "By model", columns, rows, more)


def _print_days(console: Console, days: Rows) -> None:
    shown = days[-SHOWN_DAYS:]
    most = max((float(row["cost_usd"] or 0) for row in shown), default=0.0)
    rows = []
    for row in shown:
        share = float(row["cost_usd"] or 0) / most if most else 0.0
        bar = f"[cyan]{'█' * round(share * 24)}[/]"
        figures = (f"{row['requests']:,}", _usd(row["cost_usd"]), _ms(row["duration_ms_p95"]))
        rows.append((str(row["usage_date"]), *figures, bar))
    more = f"last {SHOWN_DAYS} of {len(days)} days; daily_costs has all" if len(days) > SHOWN_DAYS else None
    _print_table(console, "By day", ("day", ">requests", ">cost", ">p95?", "?"), rows, more)


def _print_windows(console: Console, windows: Rows) -> None:
    rows = []
    for row in windows:
        rate = f"{row['error_rate']:.2%}" if row["error_rate"] is not None else "-"
        rows.append(
            (
                str(row["window_days"]),
                f"{row['requests']:,}",
                _usd(row["cost_usd"]),
                _usd(row["projected_month_cost_usd"]),
                str(row["projection_days"]),
                rate,
                _ms(row["duration_ms_p95"]),
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
    _print_table(console, "Last days", columns, rows)


def _print_months(console: Console, months: Rows) -> None:
    rows = [
        (
            f"{row['first_date']:%Y-%m}",
            f"{row['requests']:,}",
            _usd(row["cost_usd"]),
            str(row["first_date"]),
            str(row["last_date"]),
        )
        for row in months
    ]
    columns = ("month", ">requests", ">cost", "from?", "to?")
    _print_table(console, "Month to date and previous month", columns, rows)


def _print_table(
    console: Console, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str | None = None
) -> None:
    """Prints rows of markup under `columns`. `>` aligns right; `~` allows line breaks, as in the first column.

    Columns with a `?` are left out, those with most of them and the last ones first, until the table fits the screen.
    """
    widths = [
        max(cell_len(Text.from_markup(cell).plain) for cell in (column.strip(">?~"), *(row[i] for row in rows)))
        for i, column in enumerate(columns)
    ]
    least = [min(width, NAME_WIDTH) if i == 0 or "~" in columns[i] else width for i, width in enumerate(widths)]
    kept = list(range(len(columns)))
    for i in sorted(range(len(columns)), key=lambda i: (-columns[i].count("?"), -i)):
        if columns[i].endswith("?") and sum(least[i] + 2 for i in kept) - 2 > console.width:
            kept.remove(i)
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        box=None,
        pad_edge=False,
        caption=caption,
        caption_justify="left",
    )
    for i in kept:
        table.add_column(
            columns[i].strip(">?~"),
            justify="right" if columns[i].startswith(">") else "left",
            overflow="fold",
            no_wrap=not (i == 0 or "~" in columns[i]),
        )
    for row in rows:
        table.add_row(*(row[i] for i in kept))
    console.print(table, soft_wrap=False)


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
