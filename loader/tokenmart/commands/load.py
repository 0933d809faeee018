"""`tokenmart load`: loads the new lines of files."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tokenmart.commands.options import as_json, command, reading
from tokenmart.commands.shared import (
    DONE,
    FAILED,
    REJECTED,
    console,
    failed_load,
    progress_bar,
    raw_location,
    report_sharing,
    say,
)
from tokenmart.screen import print_json
from tokenmart.views import show_load, show_preview

if TYPE_CHECKING:
    from tokenmart.files import InputFile
    from tokenmart.profile import Target
    from tokenmart.results import LoadResult


@command("tokenmart load ~/.claude/projects 'logs/*.jsonl.gz' --max-rejects 10")
@reading
@click.option(
    "--dry-run", is_flag=True, help="Show what would be read and how the first rows would be loaded; load nothing."
)
@as_json
def load(target: Target, dry_run: bool, is_json: bool, max_rejects: int, **reading: Any) -> int:
    """Load the new lines of files, folders, globs or '-' (standard input).

    Reads .jsonl, .ndjson and .log files, also compressed with gzip or zstd. If a file was read before, even under
    another name, only its new complete lines are read.
    """
    if dry_run:
        return _preview(target, is_json=is_json, **reading)
    loaded = load_files(target, is_quiet=is_json, **reading)
    code = exit_code(loaded, max_rejects)
    if is_json:
        reason = failed_load(loaded) if code == FAILED else {}
        print_json({**dataclasses.asdict(loaded), **raw_location(target, loaded.location), **reason})
    return code


def load_files(
    target: Target, paths: tuple[str, ...], *, follow_links: bool, is_quiet: bool, **reading: Any
) -> LoadResult:
    """Loads the files that the paths name, shows how far it is, and prints what was loaded unless it is quiet."""
    from tokenmart.load import load as land
    from tokenmart.reader import Options

    found = _found(paths, follow_links)
    options = Options(**reading)
    report_sharing(target)
    started = dt.datetime.now()
    with progress_bar(is_quiet) as progress:
        # the sizes of compressed files and of standard input are no guide; the bar then only shows activity
        size = sum(file.size for file in found)
        task = progress.add_task("load", total=size or None, rate="")
        lines = 0

        def tell(new_bytes: int, new_lines: int) -> None:
            nonlocal lines
            lines += new_lines
            seconds = (dt.datetime.now() - started).total_seconds()
            progress.update(task, advance=new_bytes, rate=f"{lines / max(seconds, 0.001):,.0f} lines/s")

        loaded = land(found, target, options, tell, say)
    if not is_quiet:
        show_load(console, loaded, (dt.datetime.now() - started).total_seconds(), target)
    return loaded


def exit_code(loaded: LoadResult, max_rejects: int) -> int:
    """The exit code of a load. A file of unknown format found in a folder is reported, but is no failure."""
    problems = [file for file in loaded.files if file.problem]
    if problems and len(problems) == len(loaded.files) and not loaded.total("read"):
        return FAILED
    is_partial = any(file.is_named or file.read or not file.is_foreign for file in problems)
    return REJECTED if is_partial or loaded.total("rejected") > max_rejects else DONE


def _preview(target: Target, paths: tuple[str, ...], follow_links: bool, is_json: bool, **reading: Any) -> int:
    from tokenmart.load import preview
    from tokenmart.reader import Options

    found = preview(_found(paths, follow_links), target, Options(**reading), rows=3)
    if is_json:
        print_json(found)
    else:
        show_preview(console, found)
    return FAILED if all(file.problem for file in found) else DONE


def _found(paths: tuple[str, ...], follow_links: bool) -> Sequence[InputFile]:
    """Finds the files that the paths name, and prints which of them wait for a writer."""
    from tokenmart import files

    found = files.find(paths, follow_links=follow_links)
    for file in found:
        if file.is_fifo:
            say(f"{file.name} is a named pipe (FIFO). Waiting for another process to write to it.")
    return found
