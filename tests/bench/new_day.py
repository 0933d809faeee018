"""Compares a run with one new day on a long history with the same run on a history of one day.

python tests/bench/new_day.py [--events-per-day 10000] [--days 365] [--rounds 3]
"""

import datetime as dt
import tempfile
from pathlib import Path

import click
from measure import Measured, busy_warning, measure, new_target, show, show_ratio, tokenmart
from samples import load_history, one_file

END = dt.date(2026, 10, 1)


@click.command()
@click.option("--events-per-day", default=10_000, show_default=True)
@click.option("--days", default=365, show_default=True)
@click.option("--rounds", default=3, show_default=True, help="How many new days to load, one after the other.")
@click.option("--folder", type=Path, help="Where to write; by default the system's folder for temporary files.")
def main(events_per_day: int, days: int, rounds: int, folder: Path | None) -> None:
    """Prints the medians of both, and their ratio."""
    with tempfile.TemporaryDirectory(dir=folder) as name, busy_warning():
        histories = {1: new_target(Path(name) / "one"), days: new_target(Path(name) / "all")}
        for length, settings in histories.items():
            print(f"Loading a history of {length} days with {events_per_day:,} events each...")
            load_history(Path(name), settings, events=events_per_day * length, days=length, end=END)
            measure(tokenmart("build"), settings)
        runs: dict[int, list[Measured]] = {length: [] for length in histories}
        for number in range(1, rounds + 1):
            path = one_file(
                Path(name) / f"new-{number}.jsonl",
                events=events_per_day,
                days=1,
                seed=1000 + number,
                end=END + dt.timedelta(days=number),
            )
            for length, settings in histories.items():
                runs[length].append(measure(tokenmart("run", path), settings))
        print(f"A new day of {events_per_day:,} events; medians of {rounds} days")
        short, long = (show(f"on a history of {length} days", measured) for length, measured in runs.items())
        show_ratio(f"A new day on {days} days takes", long, short)


if __name__ == "__main__":
    main()
