"""Compares a `tokenmart run` that finds nothing new with `python -c "import dlt"`.

python tests/bench/nothing_new.py [--events 10000] [--rounds 5]
"""

import sys
import tempfile
from pathlib import Path

import click
from measure import busy_warning, measure, new_target, show, tokenmart
from samples import one_file


@click.command()
@click.option("--events", default=10_000, show_default=True)
@click.option("--rounds", default=5, show_default=True)
def main(events: int, rounds: int) -> None:
    """Prints the medians, and the difference of the processor times."""
    with tempfile.TemporaryDirectory() as name, busy_warning():
        folder = Path(name)
        settings = new_target(folder / "target")
        command = tokenmart("run", one_file(folder / "all.jsonl", events=events, days=30, seed=1))
        measure(command, settings)
        runs, imports = [], []
        for _ in range(rounds):
            imports.append(measure([sys.executable, "-c", "import dlt"]))
            runs.append(measure(command, settings))
        print(f"Nothing new in {events:,} events; medians of {rounds} rounds")
        imported, run = show("import dlt", imports), show("tokenmart run", runs)
        print(f"A run takes {run.processor_seconds - imported.processor_seconds:+.2f} s of processor time more")


if __name__ == "__main__":
    main()
