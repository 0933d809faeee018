"""The command line interface `tokenmart`: the group of all commands, and how their failures are reported."""

import functools
import sys
import warnings
from collections.abc import Sequence
from typing import Any, NoReturn

import click
from rich.markup import escape

from tokenmart import __version__
from tokenmart.commands.audit import audit
from tokenmart.commands.build import build
from tokenmart.commands.doctor import doctor
from tokenmart.commands.formats import formats
from tokenmart.commands.load import load
from tokenmart.commands.query import query
from tokenmart.commands.rejects import rejects
from tokenmart.commands.run import run
from tokenmart.commands.sample import sample
from tokenmart.commands.shared import DONE, FAILED, stderr
from tokenmart.commands.status import status
from tokenmart.commands.undo import undo
from tokenmart.errors import TokenmartError, without_secrets
from tokenmart.screen import print_json

INTERRUPTED = 130
UNFINISHED = {
    "load": "The load has no effect; the next load reads the same lines again.",
    "run": "An unfinished load has no effect, and the next build completes an unfinished one: run it again.",
    "build": "Some marts may be older than others until the next build.",
    "audit": "The marts are as they were.",
    "undo": "Some rows may be deleted already: run it again.",
}
"""What a command leaves when it is interrupted."""


class StoppedError(Exception):
    """The user has stopped a command; says what that leaves."""


class Commands(click.Group):
    """Lists each command with its full first sentence, and reports failures for people or, with --json, for scripts."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Like click's own, but without truncating sentences."""
        rows = [(name, command.get_short_help_str(limit=1000)) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, context: click.Context) -> Any:
        """Like click's own, but says which command was interrupted."""
        try:
            return super().invoke(context)
        except KeyboardInterrupt as error:
            raise StoppedError(UNFINISHED.get(str(context.invoked_subcommand), "")) from error

    def main(self, args: Sequence[str] | None = None, *others: Any, **options: Any) -> Any:
        """Runs a command and exits with its exit code. With --debug, failures are raised."""
        arguments = list(sys.argv[1:] if args is None else args)
        run: Any = functools.partial(super().main, arguments, *others, **{**options, "standalone_mode": False})
        if not options.get("standalone_mode", True):
            return run()
        is_json, is_debug = "--json" in arguments, "--debug" in arguments
        if not is_debug:
            # warnings of libraries are for their developers; dlt sets its own filters
            warnings.showwarning = lambda *_, **__: None
        try:
            sys.exit(run() or DONE)
        except TokenmartError as error:
            if is_debug:
                raise
            _fail(error.message, error.hint, error.exit_code, is_json=is_json)
        except click.ClickException as error:
            context = error.ctx if isinstance(error, click.UsageError) else None
            hint = f"For help, run: {context.command_path} --help" if context else None
            _fail(error.format_message(), hint, error.exit_code, is_json=is_json)
        except (StoppedError, click.Abort) as error:
            # an abort is the answer to a question: nothing has been done yet
            _fail(str(error), None, INTERRUPTED, is_json=is_json, prefix="Stopped.")
        except OSError as error:
            if is_debug:
                raise
            what = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
            _fail(what, None, FAILED, is_json=is_json)
        except Exception as error:
            if is_debug:
                raise
            hint = "Run the same command with --debug to see where, and please report it."
            what = f"{type(error).__name__}: {error}"
            _fail(what, hint, FAILED, is_json=is_json, prefix="Failed unexpectedly:")


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="tokenmart")
def main() -> None:
    """What do our LLM calls cost, how fast are they, how often do they fail, and who makes them?

    Loads LLM usage logs into the warehouse of your dbt profile, and builds the marts there.

    \b
    Example:
      tokenmart run ~/.claude/projects

    Exit codes: 0 done, 1 failed, 2 wrong usage, 3 done, but a file could not be
    read or more lines were rejected than --max-rejects allows, 130 interrupted.
    """


for _command in (audit, build, doctor, formats, load, query, rejects, run, sample, status, undo):
    main.add_command(_command)


def _fail(message: str, hint: str | None, code: int, *, is_json: bool, prefix: str = "Failed:") -> NoReturn:
    """Prints what went wrong on one line and what to do about it on another, and exits."""
    message = without_secrets(" ".join(message.split()))
    if is_json:
        print_json({"error": message, "hint": hint, "exit_code": code})
    else:
        stderr.print(f"[bold red]{prefix}[/] {escape(message)}")
        if hint:
            stderr.print(escape(" ".join(hint.split())))
    sys.exit(code)
