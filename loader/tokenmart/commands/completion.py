"""Shell completion for the values of options and arguments. It is fast, writes nothing and ignores errors."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

# not tokenmart.formats.FOLDER: importing that module also imports DuckDB
FORMATS = Path(__file__).parent.parent / "formats"


def files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """File names, which the shell completes."""
    return [CompletionItem(incomplete, type="file")]


def formats(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The built-in formats."""
    return _beginning_with(incomplete, sorted(path.stem for path in FORMATS.glob("*.sql")))


def formats_and_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The built-in formats, and files, because a file may be the script of a custom format."""
    return formats(context, parameter, incomplete) + files(context, parameter, incomplete)


def targets(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The targets of the profile that the command uses."""
    from tokenmart.profile import find_project, target_names

    named = context.params.get("project_dir")
    try:
        names = target_names(find_project(Path(named or ".").absolute(), is_named=bool(named)))
    except Exception:
        # a message would appear in the middle of the command line
        return []
    return _beginning_with(incomplete, names)


def _beginning_with(incomplete: str, names: list[str]) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]
