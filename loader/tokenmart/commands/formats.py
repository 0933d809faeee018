"""`tokenmart formats`: lists the formats, or shows which one a file has."""

import click
from rich.markup import escape

from tokenmart.commands import completion
from tokenmart.commands.options import as_json, command
from tokenmart.commands.shared import DONE, FAILED, console
from tokenmart.errors import without_secrets
from tokenmart.screen import print_json


@command("tokenmart formats logs/app.jsonl", has_target=False)
@click.argument("paths", nargs=-1, shell_complete=completion.files)
@as_json
def formats(paths: tuple[str, ...], is_json: bool) -> int:
    """List the input formats, or show which one a file has."""
    from tokenmart import files, formats
    from tokenmart.recognition import UnknownFormatError, best, counts, head, unrecognized
    from tokenmart.store_tables import StoreError

    if not paths:
        described = {name: formats.description(name) for name in formats.names()}
        if is_json:
            print_json(described)
        for name, text in described.items() if not is_json else ():
            console.print(f"[bold]{name}[/]  {escape(text)}")
        return DONE
    parser = formats.Parser()
    results = []
    for file in files.find(paths):
        found: str | None
        try:
            if file.problem:
                raise ValueError(file.problem)
            lines = head(file)
            if lines and files.is_sqlite(lines[0].encode()):
                from tokenmart.stores import sqlite_format

                table, found = sqlite_format(file)
                why = f"its table {table}"
            else:
                matches = counts(parser, lines)
                found = best(matches)
                why = (
                    unrecognized(lines, may_quote=file.is_named)
                    if found is None
                    else f"{matches[found]} of its first {len(lines)} lines match"
                )
        except (StoreError, UnknownFormatError, ValueError, OSError, EOFError) as error:
            found, why = None, without_secrets(str(error))
        results.append({"file": file.name, "format": found, "why": why})
    if is_json:
        print_json(results)
    for result in results if not is_json else ():
        console.print(
            f"[bold]{escape(str(result['file']))}[/]: {result['format'] or 'unknown'} ({escape(str(result['why']))})"
        )
    return DONE if all(result["format"] for result in results) else FAILED
