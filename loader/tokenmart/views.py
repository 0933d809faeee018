"""Prints the results of loads, builds, audits and undos, and the state of a target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape

from tokenmart.screen import Screen, counted, described_target, print_table, samples_notice

if TYPE_CHECKING:
    # slow imports, needed only for types
    from tokenmart.build import Build
    from tokenmart.doctor import Finding
    from tokenmart.load import Preview
    from tokenmart.profile import Target
    from tokenmart.report import Rows, Status
    from tokenmart.results import LoadResult
    from tokenmart.undo import UndoPlan

SHOWN_FILES = 8
SHOWN_KEYS = 20
WIDE = 200


def show_load(console: Screen, load: LoadResult, seconds: float, target: Target) -> None:
    """Prints the number of landed, skipped and rejected lines, and the first line with each reject reason."""
    read = [file for file in load.files if file.read]
    if read:
        several = load.total("requests") != load.total("landed")
        requests = f" with {counted(load.total('requests'), 'request')}" if several else ""
        formats = ", ".join(sorted({str(file.format) for file in read}))
        console.print(
            f"[bold green]Landed[/] {load.total('landed'):,} of {counted(load.total('read'), 'new line')}{requests}"
            f" from {len(read):,} of {counted(len(load.files), 'file')} ({escape(formats)}) in {seconds:.1f} s;"
            f" {load.total('skipped'):,} skipped, {load.total('rejected'):,} rejected"
        )
        if calls := load.total("tool_calls"):
            console.print(f"  {counted(calls, 'report')} of tool calls")
    elif not any(file.problem for file in load.files):
        console.print(f"Nothing new in {counted(len(load.files), 'file')}.")
    for reason, count in sorted(load.reasons.items(), key=lambda item: -item[1]):
        console.print(f"[yellow]  rejected [/]{count:,}: {escape(reason)}, first at {escape(load.examples[reason])}")
    waiting = [file.name for file in load.files if file.waiting]
    if waiting:
        more = f" and {len(waiting) - 1:,} more" if len(waiting) > 1 else ""
        console.print(
            f"  the last line of {escape(waiting[0])}{more} has no newline yet and is left for the next load;"
            " to read it now, use --final"
        )
    empty = [
        file for file in load.files if file.read and file.skipped == file.read and not (file.problem or file.tool_calls)
    ]
    if not load.total("landed"):
        # a folder can have files without requests, but this load found none at all
        for file in empty[:SHOWN_FILES]:
            lines = "its only line was" if file.read == 1 else f"all {file.read:,} lines were"
            console.print(
                f"[yellow]  no requests [/]in {escape(file.name)} ({escape(str(file.format))}): {lines} skipped"
            )
        if len(empty) > SHOWN_FILES:
            console.print(f"  and in {len(empty) - SHOWN_FILES:,} more files")
    problems = [file for file in load.files if file.problem]
    # first files that the user named or that could not be read to the end, then other files of folders
    problems.sort(key=lambda file: file.is_foreign and not file.is_named)
    for file in problems[:SHOWN_FILES]:
        what = "left out" if not file.read else "nothing landed" if file.skipped == file.read else "stopped early"
        console.print(f"[yellow]  {what} [/]{escape(str(file.problem))}")
    if len(problems) > SHOWN_FILES:
        console.print(f"  and {len(problems) - SHOWN_FILES:,} more left out; --json lists them all")
    if load.reasons:
        console.print(f"  to list them: tokenmart rejects{target.option}")
    if load.location:
        console.print(f"  target {described_target(target, load.location)}, schema {target.raw_schema}")
    if load.samples:
        console.print(samples_notice(load.samples, target))


def show_build(console: Screen, build: Build, target: Target) -> None:
    """Prints the result of a build: counts, failures with a hint, and the location of the marts."""
    if build.unchanged_since:
        since = f"{build.unchanged_since:%Y-%m-%d %H:%M:%S} UTC"
        console.print(f"[bold green]Nothing to build:[/] nothing has changed since the build of {since}.")
        return
    _show_problems(console, build)
    if build.unrecorded:
        console.print(f"[yellow]  could not be recorded for tokenmart status: [/]{escape(build.unrecorded)}")
    outcome = "[bold red]Built with failures:[/]" if build.failures else "[bold green]Built[/]"
    console.print(f"{outcome} {build.outcome}, in {build.seconds:.1f} s")
    if build.location:
        console.print(f"  target {described_target(target, build.location)}, schema {target.marts_schema}")


def show_audit(console: Screen, audit: Build, target: Target) -> None:
    """Prints the result of an audit: counts, failures with a hint, and the location of the marts."""
    _show_problems(console, audit)
    outcome = "[bold red]The audit failed:[/]" if audit.failures else "[bold green]The audit passed:[/]"
    console.print(f"{outcome} {audit.tests_outcome}, in {audit.seconds:.1f} s")
    if audit.location:
        console.print(f"  target {described_target(target, audit.location)}, schema {target.marts_schema}")


def _show_problems(console: Screen, build: Build) -> None:
    for failure in build.failures:
        console.print(f"[red]  failed [/]{escape(failure)}")
    if build.hint:
        console.print(f"  {escape(build.hint)}")
    for warning in build.warnings:
        console.print(f"[yellow]  warning [/]{escape(warning)}")


def show_finding(console: Screen, finding: Finding) -> None:
    """Prints the result of a check and, if there is a problem, how to fix it."""
    mark = "[green] ok  [/]" if finding.is_fine else "[bold red]error[/]"
    console.print(f"{mark}  [bold]{escape(finding.what)}[/]: {escape(finding.found)}")
    if finding.to_do:
        console.print(f"       {escape(finding.to_do)}")


def show_status(console: Screen, status: Status, location: str, target: Target) -> None:
    """Prints the last loads, the last build, the rejected lines and the pending loads."""
    console.print(f"[bold]{escape(location)}[/]: {counted(status.events, 'row')} in events")
    if status.last_loaded_at:
        console.print(
            f"last load {status.last_loaded_at:%Y-%m-%d %H:%M} UTC,"
            f" newest request {status.newest_event_at:%Y-%m-%d %H:%M} UTC"
        )
    if status.samples:
        console.print(samples_notice(status.samples, target))
    print_table(
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
        print_table(
            console,
            "Rejected lines",
            ("reason", ">lines", "for example in~"),
            [(escape(row["reason"]), f"{row['lines']:,}", escape(row["first_file"])) for row in status.rejects],
        )
    if status.omitted:
        more = len(status.omitted) - SHOWN_KEYS
        print_table(
            console,
            "Values left out",
            ("key", ">lines", "reason"),
            [(escape(row["key"]), f"{row['lines']:,}", escape(row["reason"])) for row in status.omitted[:SHOWN_KEYS]],
            f"and {more:,} more in omitted_values" if more > 0 else None,
        )
    if status.last_build:
        _show_last_build(console, status.last_build)
    _show_pending(console, status, target)


def _show_last_build(console: Screen, build: dict[str, Any]) -> None:
    outcome = (
        "succeeded" if build["is_successful"] else f"[bold red]failed[/] ({counted(build['failures'], 'failure')})"
    )
    warned = f" with [yellow]{counted(build['warnings'], 'warning')}[/]" if build["warnings"] else ""
    console.print(f"Last build {build['finished_at']:%Y-%m-%d %H:%M} UTC: {outcome}{warned}")
    for kind, color in (("failures", "red"), ("warnings", "yellow")):
        for message in build["messages"].get(kind, ()):
            console.print(f"[{color}]  {kind.removesuffix('s')} [/]{escape(message)}")


def _show_pending(console: Screen, status: Status, target: Target) -> None:
    command = f"tokenmart build{target.option}"
    if status.pending:
        console.print(f"[yellow]Loads that are not in the marts yet: {status.pending:,}.[/] To build them: {command}")
    elif status.has_undone:
        console.print(f"[yellow]The marts still contain rows of loads that were undone.[/] To remove them: {command}")
    else:
        console.print("[green]Every load is in the marts.[/]")
    if status.orphaned:
        verb = "belongs" if status.orphaned == 1 else "belong"
        console.print(f"{counted(status.orphaned, 'row')} {verb} to an interrupted load; no model reads them.")


def show_rejects(console: Screen, rows: Rows) -> None:
    """Prints each rejected line: its file and line number, the reason, and its first bytes."""
    for row in rows:
        console.print(f"[bold]{escape(row['file'])}:{row['line']}[/]  [yellow]{escape(row['reason'])}[/]")
        console.print("    " + escape(row["bytes"][:WIDE].decode("utf-8", "backslashreplace")))
    console.print(counted(len(rows), "rejected line") if rows else "No lines were rejected.")


def show_preview(console: Screen, files: Sequence[Preview]) -> None:
    """Prints what a load would read from each file, and the first rows that it would load."""
    for file in files:
        position = "in part" if file.is_store else f"up to byte {file.first_offset:,}"
        known = f", already read {position}" if file.first_offset else ""
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


def show_undo(console: Screen, plan: UndoPlan, target: Target, *, is_done: bool) -> None:
    """Prints what an undo deletes, or has deleted."""
    verb = "Deleted" if is_done else "This deletes"
    console.print(
        f"{verb} {counted(plan.events, 'event')} and {counted(plan.rejected, 'rejected line')}"
        f" of {counted(plan.files, 'file')} in {counted(len(plan.load_ids), 'load')},"
        f" from {described_target(target, plan.location)}, schema {target.raw_schema}"
    )
    for name in plan.names[:SHOWN_FILES]:
        console.print(f"  {escape(name)}")
    if len(plan.names) > SHOWN_FILES:
        console.print(f"  and {len(plan.names) - SHOWN_FILES:,} more")
    if is_done:
        console.print("To load these files again: tokenmart load --again PATH")
