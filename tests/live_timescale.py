"""Hypertables, columnstore, retention and live_usage on a real TimescaleDB: make test-timescale TARGET=name.

Package registries have no TimescaleDB, so `make test` does not run these tests.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
import yaml

from targets import MARTS, Engine
from timescale import ALL_ON, dbt, load, request_on, with_requests
from tokenmart.destinations import connect


@pytest.fixture
def on(tmp_path: Path) -> Iterator[Engine]:
    with with_requests("timescale", tmp_path) as warehouse:
        yield warehouse


def policies(on: Engine) -> set[tuple[str, str]]:
    """The name and the interval of each policy on the marts."""
    rows = on.query(
        "select proc_name, coalesce(config->>'compress_after', config->>'drop_after', '')"
        " from timescaledb_information.jobs where hypertable_schema in ('{marts}', '_timescaledb_internal')"
    )
    return {(str(name), str(after)) for name, after in rows}


def hypertables(on: Engine) -> set[str]:
    rows = on.query(
        "select hypertable_name from timescaledb_information.hypertables"
        " where hypertable_schema in ('{raw}', '{marts}')"
    )
    return {str(name) for (name,) in rows}


def compress(on: Engine) -> None:
    on.query("select compress_chunk(chunk, true) from show_chunks('{marts}.llm_requests') as chunk")


def test_requests_and_events_are_hypertables_even_after_a_full_refresh(on: Engine) -> None:
    dbt(on, **ALL_ON)
    dbt(on, "build", "--full-refresh", "--exclude-resource-type", "unit_test", **ALL_ON)
    assert hypertables(on) == {"events", "llm_requests"}
    assert on.query("select count(*) from {marts}.llm_requests") == [(56,)]


def test_requests_loaded_again_into_compressed_chunks_replace_the_first_ones(on: Engine) -> None:
    dbt(on, **ALL_ON)
    compress(on)
    load(on, request_on("e4", 5, output_tokens=999))
    dbt(on, **ALL_ON)
    assert on.query("select count(*), sum(output_tokens) from {marts}.llm_requests") == [(56, 55 * 100 + 999)]
    assert on.query("select sum(output_tokens) from {marts}.daily_costs") == [(55 * 100 + 999,)]


def test_live_usage_is_always_complete_and_includes_late_requests(on: Engine) -> None:
    with counting(on, "live_usage", "sum(requests)") as seen:
        dbt(on, live_usage=True)
        dbt(on, "build", "--full-refresh", "--exclude-resource-type", "unit_test", live_usage=True)
    assert seen == {56}
    load(on, request_on("late", 3), request_on("e4", 5, output_tokens=999))
    dbt(on, live_usage=True)
    assert on.query("select sum(requests), sum(output_tokens) from {marts}.live_usage") == [(57, 56 * 100 + 999)]
    # a policy would refresh the newest days first, and hide the others until it is done
    assert policies(on) == set()


def test_a_run_drops_expired_chunks_and_leaves_no_retention_job(on: Engine) -> None:
    dbt(on, columnstore_after_days=1, live_usage=True)
    compress(on)
    [(days,)] = on.query("select current_date - date '2026-10-20'")
    dbt(on, columnstore_after_days=1, live_usage=True, retention_days=int(days))
    # from the 20th to the 28th, two requests each
    for mart in ("llm_requests", "daily_costs", "live_usage"):
        count = "count(*)" if mart == "llm_requests" else "sum(requests)"
        assert on.query(f"select {count} from {{marts}}.{mart}") == [(18,)], mart
    # chunks are weeks from Thursday, as 1970 began: the chunk of the 15th is the first with a kept day
    ranges = (
        "select min(range_start)::date::text from timescaledb_information.chunks where hypertable_schema = '{marts}'"
    )
    assert on.query(ranges) == [("2026-10-15",)]
    assert policies(on) == {("policy_compression", "1 day")}


def test_a_run_that_drops_chunks_neither_deadlocks_with_a_reader_nor_waits_for_a_long_one(on: Engine) -> None:
    dbt(on, columnstore_after_days=1)
    compress(on)
    chunks = "select count(*) from timescaledb_information.chunks where hypertable_schema = '{marts}'"
    before = on.query(chunks)
    [(days,)] = on.query("select current_date - date '2026-10-20'")
    with on.chosen(), connect(on.target) as reader, connect(on.target) as watcher:
        # the reader locks the chunks, and reads their compressed rows while the run waits for it
        reader.query(f"begin; lock table {MARTS}.llm_requests in access share mode")
        run = Thread(target=dbt, args=[on], kwargs={"columnstore_after_days": 1, "retention_days": int(days)})
        run.start()
        while run.is_alive() and not watcher.query("select 1 from pg_locks where not granted"):
            run.join(0.1)
        assert reader.query(f"select count(*) from {MARTS}.llm_requests") == [(18,)]
        run.join()
        assert on.query(chunks) == before
        reader.query("commit")
    dbt(on, columnstore_after_days=1, retention_days=int(days))
    assert on.query(chunks) < before
    assert on.query("select count(*) from {marts}.llm_requests") == [(18,)]
    assert on.query("select sum(requests) from {marts}.daily_costs") == [(18,)]


def test_resetting_the_variables_removes_what_they_created(on: Engine) -> None:
    dbt(on, **ALL_ON)
    assert policies(on) == {("policy_compression", "30 days")}
    dbt(on, **{**ALL_ON, "columnstore_after_days": 60})
    assert policies(on) == {("policy_compression", "60 days")}
    compress(on)
    dbt(on)
    assert policies(on) == set()
    assert on.query("select to_regclass('{marts}.live_usage')") == [(None,)]
    # compressed rows stay readable until a full refresh
    assert on.query("select count(*) from {marts}.llm_requests") == [(56,)]


def test_policies_of_version_0_1_are_removed(on: Engine) -> None:
    dbt(on, live_usage=True)
    on.query("select add_retention_policy('{marts}.llm_requests', interval '3652 days')")
    refresh = "start_offset => null, end_offset => interval '1 day', schedule_interval => interval '1 hour'"
    on.query(f"select add_continuous_aggregate_policy('{{marts}}.live_usage', {refresh})")
    assert len(policies(on)) == 2
    dbt(on, live_usage=True, retention_days=3650)
    assert policies(on) == set()


def test_the_extension_may_be_created_after_the_first_load_in_its_own_schema(on: Engine) -> None:
    [(version,)] = on.query("select extversion from pg_extension where extname = 'timescaledb'")
    with another_database(on) as other:
        load(other, request_on("e1", 1))
        other.query(f"create schema ext; create extension timescaledb schema ext version '{version}'")
        load(other, request_on("e2", 2))
        dbt(other, **ALL_ON)
        compress_all = "select ext.compress_chunk(chunk, true) from ext.show_chunks('{marts}.llm_requests') as chunk"
        other.query(compress_all)
        load(other, request_on("e1", 1, output_tokens=999))
        # with retention: the 1st is expired
        [(days,)] = on.query("select current_date - date '2026-10-02'")
        retention = {"retention_days": int(days)}
        dbt(other, **{**ALL_ON, **retention})
        assert hypertables(other) == {"events", "llm_requests"}
        assert other.query("select sum(requests) from {marts}.live_usage") == [(1,)]
        dbt(other, **retention)
        assert policies(other) == set()


@contextmanager
def another_database(on: Engine) -> Iterator[Engine]:
    """A database on the same server, without the extension: tokenmart_test."""
    folder = on.folder / "another"
    folder.mkdir()
    profile = yaml.safe_load((on.folder / "profiles.yml").read_text())
    profile["tokenmart"]["outputs"][on.name]["dbname"] = "tokenmart_test"
    (folder / "profiles.yml").write_text(yaml.safe_dump(profile))
    on.query("drop database if exists tokenmart_test with (force)")
    on.query("create database tokenmart_test template template0")
    try:
        yield Engine(on.name, folder)
    finally:
        on.query("drop database tokenmart_test with (force)")


@contextmanager
def counting(on: Engine, mart: str, count: str) -> Iterator[set[int | str]]:
    """Collects the values of a count in a mart, queried repeatedly from the time the mart exists.

    Errors are collected too, and "missing" if the mart disappears.
    """
    seen: set[int | str] = set()
    done = Event()

    def ask(query: Callable[[str], list[tuple[Any, ...]]]) -> None:
        while not done.wait(0.01):
            try:
                if query(f"select to_regclass('{MARTS}.{mart}')") != [(None,)]:
                    seen.add(int(query(f"select {count} from {MARTS}.{mart}")[0][0]))
                elif seen:
                    seen.add("missing")
            except Exception as error:
                seen.add(str(error))

    with on.chosen(), connect(on.target) as warehouse:
        thread = Thread(target=ask, args=[warehouse.query])
        thread.start()
        try:
            yield seen
        finally:
            done.set()
            thread.join()
