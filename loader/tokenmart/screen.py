"""Prints text, tables, JSON and CSV, and fits them to the width of the terminal."""

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

NAME_WIDTH = 17  # the length of a load id, so that it is not split

_HIDDEN_RANGES = (
    *((0x00, 0x1F), (0x7F, 0x9F), (0xAD, 0xAD), (0x61C, 0x61C), (0x180E, 0x180E), (0x200B, 0x200F), (0x2028, 0x202E)),
    *((0x2060, 0x206F), (0xD800, 0xDFFF), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB), (0xE0000, 0xE007F)),
)
_ESCAPES = {
    code: f"\\x{code:02x}"
    if code < 256
    else f"\\x{code - 0xDC00:02x}"
    if 0xDC80 <= code <= 0xDCFF
    else f"\\u{code:04x}"
    for first, last in _HIDDEN_RANGES
    for code in range(first, last + 1)
}
_ESCAPES_EXCEPT_NEWLINE = {code: text for code, text in _ESCAPES.items() if code != 0x0A}


def visible(text: str) -> str:
    r"""Replaces control characters and invisible characters with escapes such as `\x1b`."""
    return text.translate(_ESCAPES)


def counted(number: int, what: str) -> str:
    """A number with a noun in singular or plural: `1 file`, `2 files`."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


class Screen(Console):
    """A console on which printed data cannot write control characters or start new lines. All output uses it.

    On a terminal, long lines are wrapped between words. In a file or a pipe, they are not wrapped.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, emoji=False, **options)
        self.soft_wrap = not (self.is_terminal or "width" in options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Does the same as rich, but replaces control characters, including newlines."""
        return super().render_str(visible(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """Does the same as rich, but replaces control characters in everything that was not passed as a string."""
        for segment in super().render(renderable, options):
            yield (
                segment if segment.control else Segment(segment.text.translate(_ESCAPES_EXCEPT_NEWLINE), segment.style)
            )


def print_json(value: Any) -> None:
    """Prints a value, which can contain dataclasses, dates and decimals, as ASCII JSON."""

    def plain(item: Any) -> Any:
        if is_dataclass(item) and not isinstance(item, type):
            return asdict(item)
        return item.isoformat() if hasattr(item, "isoformat") else as_text(item)

    click.echo(json.dumps(value, default=plain, indent=2))


def print_csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Prints rows as CSV, with escapes for control characters except newlines. Returns the number of rows."""
    writer, printed = csv.writer(sys.stdout, lineterminator="\n"), 0
    writer.writerow([name.translate(_ESCAPES_EXCEPT_NEWLINE) for name in columns])
    for row in rows:
        writer.writerow(["" if value is None else as_text(value).translate(_ESCAPES_EXCEPT_NEWLINE) for value in row])
        printed += 1
    return printed


def as_text(value: Any) -> str:
    """A value of a query as text. Numbers have all their digits, and bytes are hexadecimal."""
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
    """The name, type and location of a target, as markup."""
    return f"{escape(target.name)} ({escape(target.type)}): {escape(location)}"


def samples_notice(events: int, target: Target) -> str:
    """The notice that a target contains this number of sample events, as markup."""
    return (
        f"[yellow]The target also contains {counted(events, 'sample event')};[/] to remove:"
        f" tokenmart undo --samples{target.option}"
    )


def show_rows(console: Console, columns: Sequence[str], rows: Sequence[Sequence[Any]], left_out: int) -> None:
    """Prints the result of a query as a table or, if the table is too wide, as a list of the values of each row."""
    cells = [["[dim]NULL[/]" if value is None else escape(as_text(value)) for value in row] for row in rows]
    is_text = [any(isinstance(row[i], str | list | tuple | dict) for row in rows) for i in range(len(columns))]
    widths = [
        max(cell_len(Text.from_markup(visible(cell)).plain) for cell in (escape(name), *(row[i] for row in cells)))
        for i, name in enumerate(columns)
    ]
    min_widths = [min(width, NAME_WIDTH) if is_text[i] else width for i, width in enumerate(widths)]
    if sum(min_widths) + 2 * (len(columns) - 1) <= console.width:
        table = Table(box=None, pad_edge=False)
        for i, name in enumerate(columns):
            is_number = any(isinstance(row[i], int | float | Decimal) for row in rows)
            justify: Any = "right" if is_number else "left"
            table.add_column(
                escape(name), justify=justify, overflow="fold", min_width=min_widths[i], no_wrap=not is_text[i]
            )
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
    """Prints rows of markup as a table.

    A column name can begin with `>`, which aligns it right. It can end with `~`, which allows line breaks, as in the
    first column, or with one or more `?`. If the table is too wide, columns with `?` are left out: first those with the
    most `?`, and among them the last one.
    """
    widths = [
        max(cell_len(Text.from_markup(cell).plain) for cell in (column.strip(">?~"), *(row[i] for row in rows)))
        for i, column in enumerate(columns)
    ]
    min_widths = [min(width, NAME_WIDTH) if i == 0 or "~" in columns[i] else width for i, width in enumerate(widths)]
    kept = list(range(len(columns)))
    for i in sorted(range(len(columns)), key=lambda i: (-columns[i].count("?"), -i)):
        if columns[i].endswith("?") and sum(min_widths[i] + 2 for i in kept) - 2 > console.width:
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
