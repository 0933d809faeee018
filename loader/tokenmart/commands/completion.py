"""What a shell offers as values of options and arguments: fast, without writing, and nothing if something is wrong."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

# importing the package would import DuckDB too
FORMATS = Path(__file__).parent.parent / "formats"


def files(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Leaves it to the shell to offer files."""
    return [CompletionItem(incomplete, type="file")]


def formats(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The built-in formats."""
    return _beginning_with(incomplete, sorted(path.stem for path in FORMATS.glob("*.sql")))


def formats_and_files(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The built-in formats, and files, which may be scripts of the user's own formats."""
    return formats(context, parameter, incomplete) + files(context, parameter, incomplete)


def targets(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """The targets of the profile that the command would use."""
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
