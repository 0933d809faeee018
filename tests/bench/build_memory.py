"""Measures the peak memory of `tokenmart build` for histories of several sizes.

python tests/bench/build_memory.py [--requests 1000000 --requests 4000000 --requests 10000000] [--days 365]
"""

import datetime as dt
import tempfile
from pathlib import Path

import click
from measure import busy_warning, measure, new_target, show, tokenmart
from samples import load_history


@click.command()
@click.option("--requests", multiple=True, type=int, default=(1_000_000, 4_000_000, 10_000_000), show_default=True)
@click.option("--days", default=365, show_default=True)
@click.option("--folder", type=Path, help="Where to write; by default the system's folder for temporary files.")
def main(requests: tuple[int, ...], days: int, folder: Path | None) -> None:
    """Prints what a first build of each history takes."""
    print(f"First build of requests over {days} days")
    with busy_warning():
        for count in requests:
            with tempfile.TemporaryDirectory(dir=folder) as name:
                settings = new_target(Path(name) / "target")
                load_history(Path(name), settings, events=count, days=days, end=dt.date(2026, 10, 31))
                show(f"{count:,} requests", [measure(tokenmart("build"), settings)])


if __name__ == "__main__":
    main()
