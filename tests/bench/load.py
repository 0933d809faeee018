"""Compares `tokenmart load` with the usual dlt pipeline and DuckDB's bare read_json, and into other warehouses.

    python tests/bench/load.py [--events 1000000] [--slow-events 50000] [--rounds 3]

Runs all variants alternately. Each is a separate process with a new DuckDB file or schema, start-up included. The usual
pipeline, a generator of dicts, is so slow that it gets only the first --slow-events lines; its seconds, without its
start-up, are scaled up. PostgreSQL and ClickHouse are the servers of the tests, and share this machine.
"""

import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

PROJECT = Path(__file__).parent.parent.parent
sys.path.insert(0, str(PROJECT / "tests"))

from targets import engine  # noqa: E402 - it is in the folder of the tests

NUMBERS = {"duration_ms": "double", "cost_usd": "double", "timestamp": "timestamptz"}
NUMBERS |= dict.fromkeys(("input_tokens", "output_tokens", "total_tokens", "cached_tokens"), "bigint")


def read_json(log: Path, database: Path) -> None:
    """The floor: no checks, no line accounting, no state."""
    import duckdb

    with log.open() as file:
        keys = json.loads(next(file))
    columns = ", ".join(f"'{key}': '{NUMBERS.get(key, 'varchar')}'" for key in keys)
    with duckdb.connect(str(database)) as connection:
        lines = f"read_json('{log}', format = 'newline_delimited', columns = {{{columns}}})"
        connection.execute(f"create table events as select * from {lines}")


def generator_of_dicts(log: Path, database: Path) -> None:
    """The way dlt's tutorials show: one dict a line."""
    import dlt

    def events() -> Iterator[dict[str, Any]]:
        with log.open() as lines:
            for line in lines:
                yield json.loads(line)

    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=str(database.parent / "pipelines"),
        destination=dlt.destinations.duckdb(str(database)),
        dataset_name="raw",
    )
    pipeline.run(dlt.resource(events, name="events"), write_disposition="append")


SERVERS = ("postgres", "clickhouse")
WAYS = {"read_json": read_json, "generator": generator_of_dicts}


def timed(way: str, log: Path, profiles: Path | None = None) -> tuple[float, int]:
    """Seconds of one run of a way over a log, and its peak memory in megabytes. A way may be a target in `profiles`."""
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "bench.duckdb"
        command = [sys.executable, __file__, "--way", way, "--log", str(log), "--database", str(database)]
        script = [sys.executable, "-c", "from tokenmart.cli import main; main()", "load", str(log)]
        if way == "tokenmart":
            command = [*script, "--project-dir", str(PROJECT)]
        if profiles:
            command = [*script, "--project-dir", str(PROJECT), "--target", way]
        settings = {
            **os.environ,
            **({"DBT_PROFILES_DIR": str(profiles)} if profiles else {}),
            "TOKENMART_RAW_SCHEMA": f"bench_{Path(folder).name.lower()}",
            "TOKENMART_DUCKDB_PATH": str(database),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }
        started = time.perf_counter()
        process = subprocess.Popen(command, env=settings, stdout=subprocess.DEVNULL)
        _, code, usage = os.wait4(process.pid, 0)
        if code:
            raise SystemExit(f"{way} failed")
        return time.perf_counter() - started, usage.ru_maxrss // 1024


@click.command()
@click.option("--events", default=1_000_000)
@click.option("--slow-events", default=50_000)
@click.option("--rounds", default=3)
@click.option("--way", type=click.Choice(list(WAYS)), hidden=True)
@click.option("--log", type=Path, hidden=True)
@click.option("--database", type=Path, hidden=True)
def main(events: int, slow_events: int, rounds: int, way: str | None, log: Path, database: Path) -> None:
    """Prints the median seconds of each way and the ratios."""
    if way:
        WAYS[way](log, database)
        return
    from tokenmart.sample import write_sample

    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers:
        profiles = Path(folder) / "profiles"
        started = {name: servers.enter_context(engine(name, profiles / name)) for name in SERVERS}
        print(f"Writing {events:,} events...")
        paths = write_sample(Path(folder), events=events, days=90, seed=1)
        log = Path(folder) / "all.jsonl"
        with log.open("wb") as whole:
            # piece by piece: what this process ever took would be counted as memory of those it starts
            for path in paths:
                with path.open("rb") as part:
                    shutil.copyfileobj(part, whole)
        with log.open("rb") as whole:
            lines = sum(1 for _ in whole)
        few, none = Path(folder) / "few.jsonl", Path(folder) / "none.jsonl"
        with log.open("rb") as whole:
            head = [next(whole) for _ in range(min(slow_events, lines))]
        few.write_bytes(b"".join(head))
        none.write_bytes(head[0])
        del head
        seconds: dict[str, list[float]] = {name: [] for name in ("read_json", "tokenmart", "generator", *SERVERS)}
        memory = 0
        for number in range(rounds):
            print(f"Round {number + 1} of {rounds}...")
            seconds["read_json"].append(timed("read_json", log)[0])
            spent, peak = timed("tokenmart", log)
            seconds["tokenmart"].append(spent)
            memory = max(memory, peak)
            for name in SERVERS:
                seconds[name].append(timed(name, log, started[name].folder)[0])
            start_up = timed("generator", none)[0]
            seconds["generator"].append(start_up + (timed("generator", few)[0] - start_up) * lines / slow_events)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    print(f"\n{lines:,} lines; median of {rounds} rounds, each process with its start-up")
    print(f"  dlt, generator of dicts  {medians['generator']:8.1f} s  (scaled up from {slow_events:,} lines)")
    print(f"  tokenmart load           {medians['tokenmart']:8.1f} s  peak memory {memory:,} MB")
    print(f"  DuckDB read_json         {medians['read_json']:8.1f} s")
    for name in SERVERS:
        ratio = medians[name] / medians["tokenmart"]
        print(f"  tokenmart load, {name:<10} {medians[name]:6.1f} s  {ratio:.2f} times DuckDB's")
    print(
        f"tokenmart load is {medians['generator'] / medians['tokenmart']:.0f} times as fast as the generator of dicts,"
    )
    print(f"and takes {medians['tokenmart'] / medians['read_json']:.1f} times as long as read_json")


if __name__ == "__main__":
    main()
