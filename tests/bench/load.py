"""Compares `tokenmart load` with the usual dlt pipeline, DuckDB's read_json, and loads into other warehouses.

    python tests/bench/load.py [--events 1000000] [--slow-events 50000] [--rounds 3] [--without-servers]

Runs all variants alternately. Each is a separate process with a new DuckDB file or schema, start-up included. The usual
pipeline, a generator of dicts, is so slow that it gets only the first --slow-events lines; its seconds, without its
start-up, are scaled up. PostgreSQL and ClickHouse are the servers of the tests, and share this machine.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click
from measure import PROJECT, Measured, busy_warning, measure, new_target, show, show_ratio, tokenmart
from samples import one_file

sys.path.insert(0, str(PROJECT / "tests"))

from targets import engine

NUMBERS = {"duration_ms": "double", "cost_usd": "double", "timestamp": "timestamptz"}
NUMBERS |= dict.fromkeys(("input_tokens", "output_tokens", "total_tokens", "cached_tokens"), "bigint")


def read_json(log: Path, database: Path) -> None:
    """The lower bound: no checks, no counts of lines, no checkpoints."""
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


def timed(way: str, log: Path, profiles: Path | None = None) -> Measured:
    """One run of a way over a log. A way may be a target in `profiles`."""
    with tempfile.TemporaryDirectory() as folder:
        settings = new_target(Path(folder) / "target")
        database = settings["TOKENMART_DUCKDB_PATH"]
        command: list[str | Path] = [sys.executable, __file__, "--way", way, "--log", log, "--database", database]
        if way == "tokenmart":
            command = tokenmart("load", log)
        if profiles:
            command = tokenmart("load", log, "--target", way)
            settings["DBT_PROFILES_DIR"] = str(profiles)
        return measure(command, {**settings, "TOKENMART_RAW_SCHEMA": f"bench_{Path(folder).name.lower()}"})


@click.command()
@click.option("--events", default=1_000_000)
@click.option("--slow-events", default=50_000)
@click.option("--rounds", default=3)
@click.option("--with-servers/--without-servers", default=True, help="Also load into PostgreSQL and ClickHouse.")
@click.option("--way", type=click.Choice(list(WAYS)), hidden=True)
@click.option("--log", type=Path, hidden=True)
@click.option("--database", type=Path, hidden=True)
def main(
    events: int, slow_events: int, rounds: int, with_servers: bool, way: str | None, log: Path, database: Path
) -> None:
    """Prints the median seconds of each way and the ratios."""
    if way:
        WAYS[way](log, database)
        return
    with tempfile.TemporaryDirectory() as folder, ExitStack() as servers, busy_warning():
        profiles = Path(folder) / "profiles"
        started = {name: servers.enter_context(engine(name, profiles / name)) for name in SERVERS if with_servers}
        print(f"Writing {events:,} events...")
        log = one_file(Path(folder) / "all.jsonl", events=events, days=90, seed=1)
        with log.open("rb") as file:
            lines = sum(1 for _ in file)
        few, none = Path(folder) / "few.jsonl", Path(folder) / "none.jsonl"
        with log.open("rb") as file:
            head = [next(file) for _ in range(min(slow_events, lines))]
        few.write_bytes(b"".join(head))
        none.write_bytes(head[0])
        del head
        runs: dict[str, list[Measured]] = {name: [] for name in ("read_json", "tokenmart", *started)}
        slow = []
        for number in range(rounds):
            print(f"Round {number + 1} of {rounds}...")
            runs["read_json"].append(timed("read_json", log))
            runs["tokenmart"].append(timed("tokenmart", log))
            for name in started:
                runs[name].append(timed(name, log, started[name].folder))
            start_up = timed("generator", none).seconds
            slow.append(start_up + (timed("generator", few).seconds - start_up) * lines / slow_events)
        print(f"\n{lines:,} lines; medians of {rounds} rounds, each process with its start-up")
        generator = statistics.median(slow)
        print(f"  {'dlt, generator of dicts':<34} {generator:7.2f} s  (scaled up from {slow_events:,} lines)")
        read, loaded = show("DuckDB read_json", runs["read_json"]), show("tokenmart load", runs["tokenmart"])
        for name in started:
            show_ratio(f"tokenmart load into {name}, compared with DuckDB", show(name, runs[name]), loaded)
        print(f"tokenmart load is {generator / loaded.seconds:.0f} times as fast as the generator of dicts")
        show_ratio("It takes, compared with read_json", loaded, read)


if __name__ == "__main__":
    main()
