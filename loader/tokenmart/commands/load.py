"""`tokenmart load`: loads the new lines of files."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from tokenmart.commands.options import as_json, command, input_options
from tokenmart.commands.shared import (
    DONE,
    FAILED,
    REJECTED,
    console,
    failed_load,
    notify,
    progress_bar,
    raw_location,
    report_sharing,
)
from tokenmart.screen import print_json
from tokenmart.views import show_load, show_preview

if TYPE_CHECKING:
    from tokenmart.files import InputFile
    from tokenmart.profile import Target
    from tokenmart.results import LoadResult


@command("tokenmart load ~/.claude/projects 'logs/*.jsonl.gz' --max-rejects 10")
@input_options
@click.option(
    "--dry-run", is_flag=True, help="Show what a load would read, and the first rows of each file; load nothing."
)
@as_json
def load(target: Target, dry_run: bool, is_json: bool, max_rejects: int, **options: Any) -> int:
    """Load the new lines of files, folders, globs or '-' (standard input).

    Reads .jsonl, .ndjson and .log files in folders, including files compressed with gzip or zstd. If a file was
    loaded before, even under another name, reads only its new, complete lines.

    Also reads databases of other tools: SQLite files of claude-code-telegram, ctm, opencode and tokenmeter, and
    PostgreSQL tables of LiteLLM and TokenLedger (postgresql://user@host/database --table NAME). Set the password with
    PGPASSWORD or ~/.pgpass.
    """
    if dry_run:
        return _preview(target, is_json=is_json, **options)
    loaded = load_files(target, is_quiet=is_json, **options)
    code = exit_code(loaded, max_rejects)
    if is_json:
        reason = failed_load(loaded) if code == FAILED else {}
        print_json({**dataclasses.asdict(loaded), **raw_location(target, loaded.location), **reason})
    return code


def load_files(
    target: Target, paths: tuple[str, ...], *, discovered: bool, follow_links: bool, is_quiet: bool, **options: Any
) -> LoadResult:
    """Loads the files that `paths` name. Shows the progress, and prints the result unless `is_quiet`.

    If `discovered` is true, also loads the logs of LLM tools on this machine.

    `options` are the fields of `tokenmart.reader.Options`. Raises UsageError and TokenmartError as
    `tokenmart.load.load` does.
    """
    from tokenmart.load import load as run_load
    from tokenmart.reader import Options

    input_files = _find_files(paths, follow_links, options.get("table"), discovered=discovered)
    read_options = Options(**options)
    report_sharing(target)
    started = dt.datetime.now()
    with progress_bar(is_quiet) as progress:
        # the size of standard input is unknown, and that of a compressed file is too small: then the bar only moves
        size = sum(file.size for file in input_files)
        task = progress.add_task("load", total=size or None, rate="")
        lines = 0

        def show_progress(new_bytes: int, new_lines: int) -> None:
            nonlocal lines
            lines += new_lines
            seconds = (dt.datetime.now() - started).total_seconds()
            progress.update(task, advance=new_bytes, rate=f"{lines / max(seconds, 0.001):,.0f} lines/s")

        loaded = run_load(input_files, target, read_options, show_progress, notify)
    if not is_quiet:
        show_load(console, loaded, (dt.datetime.now() - started).total_seconds(), target)
    return loaded


def exit_code(loaded: LoadResult, max_rejects: int) -> int:
    """The exit code of a load. A file of unknown format in a folder is reported, but does not change the exit code."""
    problems = [file for file in loaded.files if file.problem]
    if problems and len(problems) == len(loaded.files) and not loaded.total("read"):
        return FAILED
    is_partial = any(file.is_named or file.read or not file.is_foreign for file in problems)
    return REJECTED if is_partial or loaded.total("rejected") > max_rejects else DONE


def _preview(
    target: Target, paths: tuple[str, ...], discovered: bool, follow_links: bool, is_json: bool, **options: Any
) -> int:
    from tokenmart.load import preview
    from tokenmart.reader import Options

    input_files = _find_files(paths, follow_links, options.get("table"), discovered=discovered)
    previews = preview(input_files, target, Options(**options), rows=3)
    if is_json:
        print_json(previews)
    else:
        show_preview(console, previews)
    return FAILED if all(file.problem for file in previews) else DONE


def _find_files(
    paths: tuple[str, ...], follow_links: bool, table: str | None, *, discovered: bool
) -> Sequence[InputFile]:
    """Finds the files to load, and prints which of them wait for another process to write."""
    from tokenmart import files

    if discovered:
        from tokenmart.discover import discovered_paths

        paths = (*paths, *discovered_paths())
    input_files = files.find(paths, follow_links=follow_links, table=table)
    for file in input_files:
        if file.is_fifo:
            notify(f"{file.name} is a named pipe (FIFO). Waiting for another process to write to it.")
    return input_files
