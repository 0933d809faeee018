"""Prints text, tables, JSON and CSV for a person or a script, in a terminal of any width."""

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
from rich.console import Console, ConsoleOptions, RenderableType
from rich.markup import escape
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from tokenmart.profile import Target

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
        return item.isoformat() if hasattr(item, "isoformat") else as_text(item)

    click.echo(json.dumps(value, default=plain, indent=2))


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Prints rows as CSV, with control characters but newlines made visible; returns their number."""
    writer, printed = csv.writer(sys.stdout, lineterminator="\n"), 0
    writer.writerow([name.translate(_VISIBLE_BUT_LINES) for name in columns])
    for row in rows:
        writer.writerow(["" if value is None else as_text(value).translate(_VISIBLE_BUT_LINES) for value in row])
        printed += 1
    return printed


def as_text(value: Any) -> str:
    """A value of a query as text; numbers have all their digits."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, dt.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, bytes):
        return value.hex()
    return json.dumps(value, default=as_text) if isinstance(value, list | tuple | dict) else str(value)


def described_target(target: Target, location: str) -> str:
    return f"{escape(target.name)} ({escape(target.type)}): {escape(location)}"


def samples_notice(events: int, target: Target) -> str:
    return (
        f"[yellow]The target also contains {counted(events, 'sample event')};[/] to remove:"
        f" tokenmart undo --samples{target.option}"
    )


def show_rows(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Any]], left_out: int) -> None:
    """Prints the result of a query: a table, or a list of each row's values if the table would not fit the screen."""
    cells = [["[dim]NULL[/]" if value is None else escape(as_text(value)) for value in row] for row in rows]
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


def print_table(
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
