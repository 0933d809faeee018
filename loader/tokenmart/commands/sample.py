"""`tokenmart sample`: writes realistic sample logs."""

from pathlib import Path

import click
from rich.markup import escape

from tokenmart.commands import completion
from tokenmart.commands.options import command
from tokenmart.commands.shared import DONE, console
from tokenmart.screen import counted


@command("tokenmart sample logs --events 100000 --days 90 --seed 7", has_target=False)
@click.argument("folder", type=click.Path(file_okay=False))
@click.option("--events", default=10_000, show_default=True, help="Number of requests per format.")
@click.option("--days", default=30, show_default=True, help="Number of days that the requests are spread over.")
@click.option("--seed", default=1, show_default=True, help="Random seed. The same seed writes the same files.")
@click.option(
    "--format",
    "format_names",
    multiple=True,
    shell_complete=completion.formats,
    default=("tokenledger",),
    show_default=True,
    help="Format to write; can be repeated.",
)
def sample(folder: str, events: int, days: int, seed: int, format_names: tuple[str, ...]) -> int:
    """Write realistic sample logs to a folder.

    They have several providers, cached tokens, errors, timeouts, late and repeated events, and an unknown model.
    """
    from tokenmart.sample import write_sample

    written = write_sample(Path(folder), events=events, days=days, seed=seed, formats=format_names)
    size = sum(path.stat().st_size for path in written)
    console.print(
        f"Wrote {counted(len(written), 'file')} ({size / 1e6:,.1f} MB) to {escape(folder)}."
        f" To load them: tokenmart run {escape(folder)}"
    )
    return DONE
