"""The command line interface `tokenmart`: groups the commands and reports their failures."""

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
from tokenmart.commands.costs import costs, errors
from tokenmart.commands.discover import discover
from tokenmart.commands.doctor import doctor
from tokenmart.commands.explain import explain
from tokenmart.commands.formats import formats
from tokenmart.commands.load import load
from tokenmart.commands.query import query
from tokenmart.commands.rejects import rejects
from tokenmart.commands.run import run
from tokenmart.commands.sample import sample
from tokenmart.commands.shared import DONE, FAILED, stderr
from tokenmart.commands.status import status
from tokenmart.commands.undo import undo
from tokenmart.commands.whatif import whatif
from tokenmart.errors import TokenmartError, without_secrets
from tokenmart.screen import print_json

INTERRUPTED = 130
UNFINISHED = {
    "load": "The load has no effect; the next load reads the same lines again.",
    "run": "Run it again. An unfinished load has no effect, and the next build completes an unfinished build.",
    "build": "Some marts may be older than others until the next build.",
    "audit": "The marts have not changed.",
    "undo": "Some rows may already be deleted. Run it again.",
}
"""The state that an interrupted command leaves behind, shown to the user."""


class StoppedError(Exception):
    """The user has stopped a command. The message describes the state that it leaves behind."""


class Commands(click.Group):
    """Shows the full first sentence of each command in the help. Reports failures as text or, with --json, as JSON."""

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """Does the same as click, but does not truncate sentences."""
        rows = [(name, command.get_short_help_str(limit=1000)) for name, command in sorted(self.commands.items())]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def invoke(self, context: click.Context) -> Any:
        """Does the same as click, but reports which command was interrupted."""
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
            # warnings from libraries are for their developers; filters do not work, because dlt sets its own
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
            # the user answered a question with an abort: nothing has been done yet
            _fail(str(error), None, INTERRUPTED, is_json=is_json, prefix="Stopped.")
        except OSError as error:
            if is_debug:
                raise
            what = ": ".join(str(part) for part in (error.filename, error.strerror or error) if part)
            _fail(what, None, FAILED, is_json=is_json)
        except Exception as error:
            if is_debug:
                raise
            hint = "Run the command with --debug to see the traceback, and please report the error."
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


for _command in (
    audit,
    build,
    costs,
    discover,
    doctor,
    errors,
    explain,
    formats,
    load,
    query,
    rejects,
    run,
    sample,
    status,
    undo,
    whatif,
):
    main.add_command(_command)


def _fail(message: str, hint: str | None, code: int, *, is_json: bool, prefix: str = "Failed:") -> NoReturn:
    """Prints the error on one line and the hint on the next, and exits with `code`."""
    message = without_secrets(" ".join(message.split()))
    if is_json:
        print_json({"error": message, "hint": hint, "exit_code": code})
    else:
        stderr.print(f"[bold red]{prefix}[/] {escape(message)}")
        if hint:
            stderr.print(escape(" ".join(hint.split())))
    sys.exit(code)
