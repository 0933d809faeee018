"""`tokenmart discover`: lists the logs of LLM tools on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.markup import escape

from tokenmart.commands.options import as_json, command
from tokenmart.commands.shared import DONE, console
from tokenmart.screen import print_json, print_table
from tokenmart.views import SHOWN_FILES

if TYPE_CHECKING:
    from tokenmart.discover import Location


@command("tokenmart discover", has_target=False)
@as_json
def discover(is_json: bool) -> int:
    """List the logs of LLM tools on this machine, and the commands that load them.

    Looks in the folders of Claude Code, Codex, Gemini CLI and opencode. Opens no files.
    """
    from tokenmart.discover import discover as find_locations

    locations = find_locations()
    if is_json:
        print_json(locations)
    else:
        _show(locations)
    return DONE


def _show(locations: list[Location]) -> None:
    from rich.filesize import decimal

    from tokenmart.discover import abbreviated

    print_table(
        console,
        "Logs of LLM tools",
        ("tool", "folder~", ">files", ">size?", "oldest?", "newest?", "format??"),
        [
            (
                location.tool,
                escape(abbreviated(location.folder)),
                f"{location.files:,}" if location.is_found else "[dim]not found[/]",
                decimal(location.bytes) if location.files else "",
                f"{location.first_modified_at:%Y-%m-%d}" if location.first_modified_at else "",
                f"{location.last_modified_at:%Y-%m-%d}" if location.last_modified_at else "",
                location.format,
            )
            for location in locations
        ],
        "Oldest and newest are modification dates of files, in UTC. No file was opened.",
    )
    problems = [problem for location in locations for problem in location.problems]
    for problem in problems[:SHOWN_FILES]:
        console.print(f"[yellow]  not read: [/]{escape(problem)}")
    if len(problems) > SHOWN_FILES:
        console.print(f"  and {len(problems) - SHOWN_FILES:,} more not read; --json lists them all")
    commands = [location.command for location in locations if location.command]
    if commands:
        console.print("To load all of them: tokenmart run --discovered")
        console.print("To load some of them:")
    for text in commands:
        console.print(f"  {escape(text)}")
