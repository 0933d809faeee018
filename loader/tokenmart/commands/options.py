"""Turns functions into commands, and defines the options that several commands share."""

import functools
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from tokenmart.commands import completion

Function = TypeVar("Function", bound=Callable[..., Any])


def command(example: str, *, has_target: bool = True) -> Callable[[Callable[..., int]], click.Command]:
    """Turns a function that returns the exit code into a command with --debug and with an example in its help.

    If `has_target` is true, the function gets the `Target` that --target and --project-dir select.
    """

    def decorate(function: Callable[..., int]) -> click.Command:
        function.__doc__ = f"{function.__doc__}\n\n    \b\n    Example:\n      {example}\n    "
        # only for the help: the group reads --debug itself, because parsing the options can also fail
        debug = click.option(
            "--debug", is_flag=True, expose_value=False, help="Show the traceback if the command fails."
        )
        function = debug(function)
        return click.command()(_with_target(function) if has_target else function)

    return decorate


def _with_target(function: Callable[..., int]) -> Callable[..., int]:
    @functools.wraps(function)
    def run(*args: Any, target: str | None, project_dir: str | None, **options: Any) -> int:
        from tokenmart.profile import find_project, read_target

        if path := os.environ.get("TOKENMART_DUCKDB_PATH"):
            # dbt runs in another folder, but the path is relative to the current one
            os.environ["TOKENMART_DUCKDB_PATH"] = str(Path(path).expanduser().absolute())
        folder = find_project(Path(project_dir or ".").absolute(), is_named=bool(project_dir))
        return function(*args, target=read_target(folder, target), **options)

    project_dir = click.option(
        "--project-dir",
        shell_complete=completion.files,
        help="Folder of the dbt project; by default the current folder or the nearest parent folder with one.",
    )
    target = click.option(
        "--target",
        shell_complete=completion.targets,
        help="Target of the dbt profile; by default TOKENMART_TARGET, or the profile's default target.",
    )
    return target(project_dir(run))


def _require_paths(context: click.Context, parameter: click.Parameter, paths: tuple[str, ...]) -> tuple[str, ...]:
    """Fails without paths, except with --discovered, which is eager so that it is already read."""
    if not paths and not context.params.get("discovered"):
        raise click.MissingParameter("Name files or folders, or use --discovered.", context, parameter)
    return paths


as_json = click.option("--json", "is_json", is_flag=True, help="Print JSON instead of text.")


class Duration(click.ParamType[int]):
    """A duration such as 90s, 30m, 1h or 2d, in seconds."""

    name = "duration"

    def convert(self, value: Any, _parameter: click.Parameter | None, _context: click.Context | None) -> int:
        """The number of seconds. Fails if the value is not a duration."""
        found = re.fullmatch(r"([0-9]{1,6})([smhd])", str(value))
        if not found:
            self.fail(f"{value} is not a duration. Use a whole number with s, m, h or d, such as 30m.")
        return int(found[1]) * {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[found[2]]


def _defaults(_context: click.Context, _parameter: click.Parameter, pairs: Sequence[str]) -> dict[str, str]:
    """The values of --set by column."""
    from tokenmart.contract import SETTABLE

    values: dict[str, str] = {}
    for pair in pairs:
        column, is_pair, value = pair.partition("=")
        if not is_pair or not value:
            raise click.BadParameter(f"{pair} is not COLUMN=VALUE; write for example user_id=ada")
        if column not in SETTABLE:
            raise click.BadParameter(f"{column} cannot be set; use one of {', '.join(SETTABLE)}")
        values[column] = value
    return values


def input_options(function: Function) -> Function:
    """Adds the argument and the options of the commands that read files."""
    for option in reversed(
        [
            click.argument("paths", nargs=-1, callback=_require_paths, shell_complete=completion.files),
            click.option(
                "--discovered",
                is_flag=True,
                is_eager=True,
                help="Also load all logs that tokenmart discover lists; PATHS can then be left out.",
            ),
            click.option(
                "--format",
                "format",
                shell_complete=completion.formats_and_files,
                help="Name of a format, or your own .sql file; by default recognized from the content of each file.",
            ),
            click.option(
                "--timezone",
                "time_zone",
                default="UTC",
                show_default=True,
                help="Time zone of timestamps that do not have one.",
            ),
            click.option(
                "--occurred-at",
                metavar="TIME",
                help="Time of lines that have none, or 'file' for the time when their file was last changed.",
            ),
            click.option(
                "--set",
                "defaults",
                multiple=True,
                metavar="COLUMN=VALUE",
                envvar="TOKENMART_SET",
                callback=_defaults,
                help="Value of a column, such as user_id or team, for lines that leave it empty; can be repeated.",
            ),
            click.option("--follow-links", is_flag=True, help="Read symbolic links that lead out of their folder."),
            click.option(
                "--keep-content",
                is_flag=True,
                help="Also load prompts and replies, if the log has them.",
            ),
            click.option(
                "--keep-key",
                "keep_keys",
                multiple=True,
                metavar="KEY",
                help="Keep the values of this key in tags and extra, except credentials; can be repeated.",
            ),
            click.option(
                "--final",
                is_flag=True,
                help="Also read a last line without a newline, because the files are complete.",
            ),
            click.option(
                "--again",
                is_flag=True,
                help="Read files from the beginning, even if they were read before.",
            ),
            click.option("--table", metavar="NAME", help="Table of a database; by default the one that is known."),
            click.option(
                "--overlap",
                type=Duration(),
                default="1h",
                show_default=True,
                help="Part of a database that is read again for late and changed rows, such as 30m, 1h or 2d.",
            ),
            click.option(
                "--max-rejects",
                default=0,
                type=click.IntRange(0),
                show_default=True,
                help="Number of rejected lines that are allowed; if there are more, the exit code is 3.",
            ),
        ]
    ):
        function = option(function)
    return function
