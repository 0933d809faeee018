"""The command line interface `tokenmart`: thin commands over the modules that do the work."""

import dataclasses
import datetime as dt
import errno
import functools
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import click
from rich.markup import escape
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from tokenmart import __version__
from tokenmart.errors import TokenmartError, UsageError, without_secrets
from tokenmart.profile import Target, find_project, read_target, targets_sharing
from tokenmart.screen import Screen, counted, print_json

DONE, FAILED, REJECTED = 0, 1, 3
console = Screen()
complaints = Screen(stderr=True)
Command = TypeVar("Command", bound=Callable[..., Any])


class Commands(click.Group):
    """The command group. Lists each command with its full first sentence; --json reports usage errors as JSON."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Like click's own, but without truncating sentences."""
        rows = [(name, command.get_short_help_str(limit=1000)) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def main(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:
        """Runs a command and exits with its exit code."""
        arguments = list(sys.argv[1:] if args is None else args)
        call: Any = functools.partial(super().main, arguments, *others, **{**options, "standalone_mode": False})
        if not options.get("standalone_mode", True):
            return call()
        try:
            sys.exit(call() or DONE)
        except click.ClickException as error:
            usage = error.ctx.get_usage() if isinstance(error, click.UsageError) and error.ctx else None
            hint = f"For help, run: {error.ctx.command_path} --help" if usage and error.ctx else None  # type: ignore[attr-defined]
            _fail(error.format_message(), hint, error.exit_code, is_json="--json" in arguments)
        except click.Abort:
            _fail("Stopped.", None, FAILED, is_json="--json" in arguments)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tokenmart")
def main() -> None:
    """What do our LLM calls cost, how fast are they, how often do they fail, and who makes them?

    Loads LLM usage logs into the warehouse of your dbt profile, and builds the marts there.

    \b
    Example:
      tokenmart run examples

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done, but a file could not be
    read or more lines were rejected than --max-rejects allows, 130 interrupted.
    """


def _fail(message: str, hint: str | None, code: int, *, is_json: bool, prefix: str = "Failed:") -> NoReturn:
    """Prints what went wrong on one line and what to do about it on another, and exits."""
    message = without_secrets(" ".join(message.split()))
    if is_json:
        print_json({"error": message, "hint": hint, "exit_code": code})
    else:
        complaints.print(f"[bold red]{prefix}[/] {escape(message)}")
        if hint:
            complaints.print(escape(" ".join(hint.split())))
    sys.exit(code)


_UNFINISHED = {
    "load": "The load has no effect; the next load reads the same lines again.",
    "run": "An unfinished load has no effect, and the next build completes an unfinished one: run it again.",
    "build": "Some marts may be older than others until the next build.",
    "undo": "Some rows may be deleted already: run it again.",
}


def command(example: str, *, has_target: bool = True) -> Callable[[Command], Command]:
    """Makes a subcommand: adds the common options, an example in its help, and readable errors."""

    def decorate(function: Command) -> Command:
        @functools.wraps(function)
        def run(*args: Any, debug: bool, **options: Any) -> None:
            is_json = bool(options.get("is_json"))
            if not debug:
                # warnings of libraries are for their developers; dlt sets its own filters
                warnings.showwarning = lambda *_, **__: None
            if path := os.environ.get("TOKENMART_DUCKDB_PATH"):
                # dbt runs in the project's folder, but the path is relative to the current one
                os.environ["TOKENMART_DUCKDB_PATH"] = str(Path(path).expanduser().absolute())
            try:
                if has_target:
                    named = options.pop("project_dir")
                    folder = find_project(Path(named or ".").absolute(), is_named=bool(named))
                    options["target"] = read_target(folder, options["target"])
                code = function(*args, **options)
            except TokenmartError as error:
                if debug:
                    raise
                _fail(str(error), error.hint, error.exit_code, is_json=is_json)
            except KeyboardInterrupt:
                _fail(_UNFINISHED.get(function.__name__, ""), None, 130, is_json=is_json, prefix="Stopped.")
            except click.ClickException:
                raise
            except OSError as error:
                # click ends quietly when the reader of a pipe has gone
                if debug or error.errno == errno.EPIPE:
                    raise
                what = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
                _fail(what, None, FAILED, is_json=is_json)
            except (click.Abort, click.exceptions.Exit):
                raise
            except Exception as error:
                if debug:
                    raise
                hint = "Run the same command with --debug to see where, and please report it."
                what = f"{type(error).__name__}: {error}"
                _fail(what, hint, FAILED, is_json=is_json, prefix="Failed unexpectedly:")
            sys.exit(code or DONE)

        run.__doc__ = f"{function.__doc__}\n\n    \b\n    Example:\n      {example}\n    "
        decorated: Any = click.option("--debug", is_flag=True, help="Show the traceback if the command fails.")(run)
        if has_target:
            decorated = click.option(
                "--project-dir", help="Folder of the dbt project; by default this folder or one above it."
            )(decorated)
            decorated = click.option(
                "--target", help="Output of the dbt profile to use; by default the profile's target."
            )(decorated)
        return main.command()(decorated)  # type: ignore[return-value]

    return decorate


as_json = click.option("--json", "is_json", is_flag=True, help="Print JSON, for scripts.")


def reading(function: Command) -> Command:
    """Adds the paths and options of the commands that read files."""
    for option in reversed(
        [
            click.argument("paths", nargs=-1, required=True),
            click.option(
                "--format",
                "format",
                help="Name of a format, or your own .sql file; by default recognized from the content.",
            ),
            click.option(
                "--timezone",
                "time_zone",
                default="UTC",
                show_default=True,
                help="Time zone of timestamps that have none.",
            ),
            click.option("--follow-links", is_flag=True, help="Read symbolic links that lead out of a named folder."),
            click.option(
                "--keep-content",
                is_flag=True,
                help="Also load prompts and replies, if the format has them.",
            ),
            click.option(
                "--keep-key",
                "keep_keys",
                multiple=True,
                metavar="KEY",
                help="Always keep the value of this key in tags and extra; can be repeated.",
            ),
            click.option(
                "--final",
                is_flag=True,
                help="Also read a last line that has no newline; use it when the files are complete.",
            ),
            click.option(
                "--again",
                is_flag=True,
                help="Read files from the beginning, even if they were read before.",
            ),
            click.option(
                "--max-rejects",
                default=0,
                type=click.IntRange(0),
                show_default=True,
                help="How many rejected lines to allow before the exit code is 3.",
            ),
        ]
    ):
        function = option(function)
    return function


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
    loaded = _load(target, is_quiet=is_json, **reading)
    code = _load_code(loaded, max_rejects)
    if is_json:
        reason = _unread(loaded) if code == FAILED else {}
        print_json({**dataclasses.asdict(loaded), **_landed_in(target, loaded.location), **reason})
    return code


@command("tokenmart build --target duckdb")
@click.option("--full-refresh", is_flag=True, help="Rebuild everything from the raw events.")
@as_json
def build(target: Target, full_refresh: bool, is_json: bool) -> int:
    """Build and test the marts with dbt.

    Builds what has changed, or everything with --full-refresh.
    """
    _report_sharing(target)
    built = _build(target, full_refresh, is_quiet=is_json)
    if is_json:
        reason = _reason(built) if built.failures else {}
        print_json({**dataclasses.asdict(built), **_place(target, built.location), **reason})
    return FAILED if built.failures else DONE


@command("tokenmart run examples")
@reading
@as_json
def run(target: Target, is_json: bool, max_rejects: int, **reading: Any) -> int:
    """Load, build, and print a summary of the marts."""
    loaded = _load(target, is_quiet=is_json, **reading)
    answer: dict[str, Any] = {"load": loaded, **_place(target, loaded.location)}
    if not any(file.format for file in loaded.files) and _load_code(loaded, max_rejects) == FAILED:
        if is_json:
            print_json({**answer, **_unread(loaded)})
        return FAILED
    try:
        built = answer["build"] = _build(target, False, is_quiet=is_json)
        answer["summary"] = _summary(target, loaded, is_quiet=is_json)
    except TokenmartError as error:
        if not is_json:
            raise
        print_json({**answer, **_refusal(error)})
        return error.exit_code
    if is_json:
        print_json({**answer, **(_reason(built) if built.failures else {})})
    return FAILED if built.failures else _load_code(loaded, max_rejects)


@command("tokenmart undo 1763712000.123456 --yes")
@click.argument("load_ids", nargs=-1)
@click.option("--samples", is_flag=True, help="Delete the rows of sample files, from all loads.")
@click.option("--no-build", is_flag=True, help="Do not rebuild the marts; the next build does.")
@click.option("--yes", is_flag=True, help="Do not ask before deleting.")
@as_json
def undo(target: Target, load_ids: tuple[str, ...], samples: bool, no_build: bool, yes: bool, is_json: bool) -> int:
    """Delete what loads have landed, and rebuild the marts.

    tokenmart status lists the ids of loads. Read positions are kept: to load the same files again, use load --again.
    """
    from tokenmart.destinations import connect, lock
    from tokenmart.screen import show_undone
    from tokenmart.undo import delete, find

    if samples == bool(load_ids):
        raise UsageError("Give the ids of the loads to undo, or --samples.", f"See: tokenmart status{target.option}")
    if is_json and not yes:
        raise UsageError("With --json the command cannot ask for confirmation.", "Add --yes.")
    with _loaded(target) as warehouse:
        undone = find(warehouse, target, load_ids, samples=samples)
    if not yes:
        show_undone(console, undone, target, is_done=False)
        if not click.confirm("Delete these rows?", err=True):
            console.print("Nothing was deleted.")
            return FAILED
    with lock(target, "load", _say) as check, connect(target) as warehouse:
        delete(warehouse, target, undone, check)
    if not is_json:
        show_undone(console, undone, target, is_done=True)
    figures = {name: getattr(undone, name) for name in ("load_ids", "files", "events", "rejected")}
    answer = {"undone": figures, **_place(target, undone.location)}
    try:
        built = None if no_build else _build(target, True, is_quiet=is_json)
    except TokenmartError as error:
        if not is_json:
            raise
        print_json({**answer, **_refusal(error)})
        return error.exit_code
    if is_json:
        print_json({**answer, "build": built, **(_reason(built) if built and built.failures else {})})
    elif no_build:
        console.print(f"The marts still contain these rows. To remove them: tokenmart build{target.option}")
    return FAILED if built and built.failures else DONE


@command("tokenmart status --json")
@click.option("--loads", default=5, type=click.IntRange(1), show_default=True, help="How many loads to list.")
@as_json
def status(target: Target, loads: int, is_json: bool) -> int:
    """Show the last loads, the last build, and what was rejected.

    Also shows how fresh the data is, how many samples the target has, and which loads are not in the marts yet.
    """
    from tokenmart import report
    from tokenmart.screen import show_status

    with _loaded(target) as warehouse:
        found = report.status(warehouse, target, loads=loads)
        location = warehouse.location
    if is_json:
        print_json({**dataclasses.asdict(found), "location": location})
    else:
        show_status(console, found, location, target)
    return DONE


@command("tokenmart doctor --target duckdb")
@as_json
def doctor(target: Target, is_json: bool) -> int:
    """Check a target: packages, connection, permissions and schemas."""
    from tokenmart.doctor import examine
    from tokenmart.screen import show_finding

    findings = []
    for finding in examine(target):
        findings.append(finding)
        if not is_json:
            show_finding(console, finding)
    if is_json:
        print_json(findings)
    return DONE if all(finding.is_fine for finding in findings) else FAILED


@command("tokenmart rejects --export rejects.jsonl")
@click.option("--reason", help="Only lines that were rejected for this reason.")
@click.option(
    "--limit",
    default=20,
    type=click.IntRange(1),
    show_default=True,
    help="How many lines to list; --export always writes all.",
)
@click.option("--export", type=click.Path(dir_okay=False), help="Write the lines to this new file, byte for byte.")
@as_json
def rejects(target: Target, reason: str | None, limit: int, export: str | None, is_json: bool) -> int:
    """List or export the rejected lines.

    Correct exported lines and load them like any other file.
    """
    from tokenmart import report
    from tokenmart.screen import show_rejects

    with _loaded(target) as warehouse:
        rows = report.rejects(warehouse, target, reason=reason, limit=None if export else limit)
    if export:
        # an existing file may contain lines that somebody has corrected
        with Path(export).open("xb") as file:
            file.writelines(row["bytes"] + b"\n" for row in rows)
        if is_json:
            print_json({"file": export, "lines": len(rows)})
        else:
            name = escape(export)
            console.print(
                f"{counted(len(rows), 'rejected line')} written to {name}. Correct them there, then:"
                f" tokenmart load {name}{target.option}"
            )
    elif is_json:
        print_json([{**row, "bytes": row["bytes"].decode("utf-8", "replace")} for row in rows])
    else:
        show_rejects(console, rows)
    return DONE


@command("tokenmart formats logs/app.jsonl", has_target=False)
@click.argument("paths", nargs=-1)
@as_json
def formats(paths: tuple[str, ...], is_json: bool) -> int:
    """List the input formats, or show which one a file has."""
    from tokenmart import files, formats
    from tokenmart.reader import head, unrecognized

    if not paths:
        described = {name: formats.description(name) for name in formats.names()}
        if is_json:
            print_json(described)
        for name, text in described.items() if not is_json else ():
            console.print(f"[bold]{name}[/]  {escape(text)}")
        return DONE
    parser = formats.Parser()
    answers = []
    for file in files.find(paths):
        try:
            if file.problem:
                raise ValueError(file.problem)
            lines = head(file)
            found, counts = parser.recognize(lines)
            why = (
                unrecognized(lines, may_quote=file.is_named)
                if found is None
                else f"{counts[found]} of its first {len(lines)} lines match"
            )
        except (ValueError, OSError, EOFError) as error:
            found, why = None, without_secrets(str(error))
        answers.append({"file": file.name, "format": found, "why": why})
    if is_json:
        print_json(answers)
    for answer in answers if not is_json else ():
        console.print(
            f"[bold]{escape(str(answer['file']))}[/]: {answer['format'] or 'unknown'} ({escape(str(answer['why']))})"
        )
    return DONE if all(answer["format"] for answer in answers) else FAILED


@command("tokenmart sample logs --events 100000 --days 90 --seed 7", has_target=False)
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--events", default=10_000, show_default=True, help="Number of requests per format.")
@click.option("--days", default=30, show_default=True, help="Number of days to spread them over.")
@click.option("--seed", default=1, show_default=True, help="Random seed; the same seed writes the same bytes.")
@click.option(
    "--format",
    "format_names",
    multiple=True,
    default=("tokenledger",),
    show_default=True,
    help="Format to write; can be repeated.",
)
def sample(folder: str, events: int, days: int, seed: int, format_names: tuple[str, ...]) -> int:
    """Write realistic sample events.

    They include several providers, caches, errors, timeouts, late and repeated events, and an unknown model.
    """
    from tokenmart.sample import write_sample

    written = write_sample(Path(folder), events=events, days=days, seed=seed, formats=format_names)
    size = sum(path.stat().st_size for path in written)
    console.print(
        f"Wrote {counted(len(written), 'file')} ({size / 1e6:,.1f} MB) to {escape(folder)}."
        f" Load them: tokenmart run {escape(folder)}"
    )
    return DONE


def _load(target: Target, paths: tuple[str, ...], *, follow_links: bool, is_quiet: bool, **reading: Any) -> Any:
    from tokenmart.load import load as land
    from tokenmart.reader import Options
    from tokenmart.screen import show_load

    found = _found(paths, follow_links)
    options = Options(**reading)
    _report_sharing(target)
    started = dt.datetime.now()
    with _progress(is_quiet) as progress:
        # the sizes of compressed files and of standard input are no guide; the bar then only shows activity
        size = sum(file.size for file in found)
        task = progress.add_task("load", total=size or None, rate="")
        lines = 0

        def tell(new_bytes: int, new_lines: int) -> None:
            nonlocal lines
            lines += new_lines
            seconds = (dt.datetime.now() - started).total_seconds()
            progress.update(task, advance=new_bytes, rate=f"{lines / max(seconds, 0.001):,.0f} lines/s")

        loaded = land(found, target, options, tell, _say)
    if not is_quiet:
        show_load(console, loaded, (dt.datetime.now() - started).total_seconds(), target)
    return loaded


def _found(paths: tuple[str, ...], follow_links: bool) -> Any:
    """Finds the files that the paths name, and prints which of them wait for a writer."""
    from tokenmart import files

    found = files.find(paths, follow_links=follow_links)
    for file in found:
        if file.is_fifo:
            complaints.print(f"{escape(file.name)} is a named pipe (FIFO). Waiting for another process to write to it.")
    return found


def _landed_in(target: Target, location: str | None) -> dict[str, Any]:
    """The target and the location of its raw tables, for JSON."""
    return {
        "target": {"name": target.name, "type": target.type},
        "location": location,
        "raw_schema": target.raw_schema,
    }


def _place(target: Target, location: str | None) -> dict[str, Any]:
    """The target and the location of its raw tables and marts, for JSON."""
    return {**_landed_in(target, location), "marts_schema": target.marts_schema}


def _unread(loaded: Any) -> dict[str, Any]:
    """Why no file could be read, for JSON."""
    problem = next(file.problem for file in loaded.files if file.problem)
    return {"error": problem, "hint": None, "exit_code": FAILED}


def _refusal(error: TokenmartError) -> dict[str, Any]:
    """Why a step failed, for JSON."""
    return {"error": str(error), "hint": error.hint, "exit_code": error.exit_code}


def _reason(built: Any) -> dict[str, Any]:
    """Why a build failed, for JSON."""
    return {"error": f"The build failed: {built.outcome}", "hint": built.hint, "exit_code": FAILED}


def _summary(target: Target, loaded: Any, *, is_quiet: bool) -> Any:
    """Shows the summary of the marts that exist."""
    from tokenmart import report
    from tokenmart.destinations import connect
    from tokenmart.screen import show_summary

    with connect(target, to_read=True) as warehouse:
        summary = report.summary(warehouse, target)
        location = warehouse.location
    if not is_quiet:
        are_samples = all(file.is_sample for file in loaded.files)
        show_summary(console, summary, location, target, are_samples=are_samples)
    return summary


def _report_sharing(target: Target) -> None:
    if others := targets_sharing(target):
        complaints.print(
            f"The targets {target.name} and {', '.join(others)} build into the same schema and overwrite each other."
            " Give each target its own schema in profiles.yml.",
        )


def _preview(target: Target, paths: tuple[str, ...], follow_links: bool, is_json: bool, **reading: Any) -> int:
    from tokenmart.load import preview
    from tokenmart.reader import Options
    from tokenmart.screen import show_preview

    found = preview(_found(paths, follow_links), target, Options(**reading), rows=3)
    if is_json:
        print_json(found)
    else:
        show_preview(console, found)
    return FAILED if all(file.problem for file in found) else DONE


def _build(target: Target, full_refresh: bool, *, is_quiet: bool) -> Any:
    from tokenmart.build import build as run_dbt
    from tokenmart.destinations import is_new, lock
    from tokenmart.report import nothing_loaded, stale_by
    from tokenmart.screen import show_build

    if is_new(target):
        raise nothing_loaded(target)
    with _progress(is_quiet, "{task.description}") as progress, lock(target, "build", _say) as check:
        with _loaded(target) as warehouse:
            if not full_refresh and stale_by(warehouse, target) == "undone loads":
                full_refresh = True
                _say("Loads were undone since the marts were built: rebuilding everything.")
        task = progress.add_task("dbt", total=None, rate="")

        def tell(description: str, index: int, total: int) -> None:
            progress.update(task, description=description, completed=index, total=total)

        built = run_dbt(target, full_refresh=full_refresh, on_node=tell, check=check)
    if not is_quiet:
        show_build(console, built, target)
    return built


@contextmanager
def _loaded(target: Target) -> Iterator[Any]:
    """Opens the target's warehouse for reading, after adding the raw tables and columns that this version needs.

    Raises TokenmartError if nothing has been loaded into it, or if this login has no permission to alter older tables.
    """
    from tokenmart import contract, report
    from tokenmart.destinations import connect, is_new

    if is_new(target):
        raise report.nothing_loaded(target)
    with connect(target, to_read=True) as warehouse:
        tables = warehouse.tables(target.raw_schema)
        if "loaded_files" not in tables:
            raise report.nothing_loaded(target)
        if not (missing := contract.missing(tables)):
            yield warehouse
            return
    from tokenmart.pipeline import upgrade

    try:
        upgrade(target, _say)
    except TokenmartError as error:
        raise TokenmartError(
            f"The tables in {target.raw_schema} were created by an older version and lack {', '.join(missing)}."
            f" These could not be added: {error}",
            f"Run tokenmart status{target.option} with a login that may alter the tables.",
        ) from error
    with connect(target, to_read=True) as warehouse:
        yield warehouse


def _say(text: str) -> None:
    complaints.print(escape(text))


def _load_code(loaded: Any, max_rejects: int) -> int:
    """The exit code of a load. A file of unknown format found in a folder is reported, but is no failure."""
    problems = [file for file in loaded.files if file.problem]
    if problems and len(problems) == len(loaded.files) and not loaded.total("read"):
        return FAILED
    is_partial = any(file.is_named or file.read or not file.is_foreign for file in problems)
    return REJECTED if is_partial or loaded.total("rejected") > max_rejects else DONE


def _progress(is_quiet: bool, text: str = "") -> Progress:
    columns = (
        [TextColumn("building"), BarColumn(), TextColumn(text)]
        if text
        else [
            TextColumn("loading"),
            BarColumn(),
            DownloadColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        ]
    )
    return Progress(*columns, console=complaints, transient=True, disable=is_quiet or not complaints.is_terminal)
