"""Compares `tokenmart run` on Claude Code transcripts with ccusage, which reads all of them each time.

    python tests/bench/transcripts.py [--megabytes 200] [--files 200] [--rounds 3] [--ccusage PATH]

Without --ccusage, npm installs it into a temporary folder.
"""

import subprocess
import tempfile
from pathlib import Path

import click
from measure import Measured, busy_warning, measure, new_target, show, show_ratio, tokenmart
from samples import write_transcripts


def installed(folder: Path) -> Path:
    """Installs ccusage with npm and returns its command."""
    subprocess.run(["npm", "install", "--silent", "--prefix", folder, "ccusage"], check=True)
    return folder / "node_modules/.bin/ccusage"


@click.command()
@click.option("--megabytes", default=200, show_default=True)
@click.option("--files", default=200, show_default=True)
@click.option("--rounds", default=3, show_default=True)
@click.option("--ccusage", type=Path, help="The command of an installed ccusage.")
def main(megabytes: int, files: int, rounds: int, ccusage: Path | None) -> None:
    """Prints the medians of a first run, of a run with nothing new and of ccusage, and the ratios."""
    with tempfile.TemporaryDirectory() as name, busy_warning():
        folder = Path(name)
        ccusage = ccusage.absolute() if ccusage else installed(folder / "npm")
        lines, size = write_transcripts(folder / "logs", megabytes=megabytes, files=files)
        names = ("ccusage", "first run", "nothing new")
        runs: dict[str, list[Measured]] = {name: [] for name in names}
        for number in range(rounds):
            settings = new_target(folder / f"target-{number}")
            command = tokenmart("run", folder / "logs")
            reading = {"CLAUDE_CONFIG_DIR": str(folder / "logs")}
            runs["ccusage"].append(measure([ccusage, "daily", "--offline", "--json"], reading))
            runs["first run"].append(measure(command, settings))
            runs["nothing new"].append(measure(command, settings))
        print(f"{size / 1e6:,.0f} MB of transcripts, {lines:,} lines, {files} files; medians of {rounds} rounds")
        scan, first, nothing_new = (show(name, runs[name]) for name in names)
        show_ratio("The first run takes, compared with ccusage", first, scan)
        show_ratio("A run with nothing new takes, compared with ccusage", nothing_new, scan)


if __name__ == "__main__":
    main()
