"""Without TimescaleDB its macros do nothing; where TOKENMART_TEST_TIMESCALE names one, they do their work there."""

import os
from pathlib import Path

from conftest import as_line, tokenledger
from dbt.cli.main import dbtRunner
from targets import Engine, engine

from loader.build import _disconnect

ALL_ON = "{columnstore_after_days: 30, retention_days: 3650, live_usage: true}"


def write(folder: Path) -> Path:
    path = folder / "log.jsonl"
    lines = [tokenledger(f"e{number}", f"2026-10-{number % 28 + 1:02}T12:00:00Z") for number in range(56)]
    path.write_bytes(b"".join(as_line(line) + b"\n" for line in lines))
    return path


def dbt(on: Engine, folder: Path, *arguments: str) -> str:
    """Runs dbt with everything of TimescaleDB asked for; returns the SQL of an inline query, if there is one."""
    places = ["--profiles-dir", str(on.folder), "--target-path", str(folder / "target"), "--log-path", str(folder)]
    with on.chosen():
        outcome = dbtRunner().invoke([*arguments, "--vars", ALL_ON, "--log-level", "none", *places])
    _disconnect()
    assert outcome.success, outcome.exception or [result.message for result in outcome.result.results]
    return str(outcome.result.results[0].node.compiled_code).strip()


def test_nothing_is_done_without_the_extension(tmp_path: Path) -> None:
    with engine("postgres", tmp_path / "engine") as on:
        on.run("load", write(tmp_path))
        dbt(on, tmp_path, "build", "--exclude-resource-type", "unit_test")
        assert dbt(on, tmp_path, "compile", "--inline", "{{ manage_storage('occurred_at') }}") == ""
        assert on.query("select count(*) from {marts}.llm_requests") == [(56,)]
        assert on.query("select to_regclass('{marts}.live_usage')") == [(None,)]


def hypertables(tmp_path: Path) -> None:
    """Requests and events lie in hypertables, with policies where the licence has them, and late events are right."""
    with engine("timescale", tmp_path / "engine") as on:
        path = write(tmp_path)
        on.run("load", path)
        licence = on.query("select current_setting('timescaledb.license', true)")[0][0]
        build = ("build", "--exclude-resource-type", "unit_test")
        for more in ((), (), ("--full-refresh",), ()):
            dbt(on, tmp_path, *build, *more)
            found = on.query(
                "select hypertable_name from timescaledb_information.hypertables"
                " where (hypertable_schema, hypertable_name) in (('{raw}', 'events'), ('{marts}', 'llm_requests'))"
            )
            assert {name for (name,) in found} == {"events", "llm_requests"}
            assert on.query("select count(*) from {marts}.llm_requests") == [(56,)]
            if licence == "timescale":
                assert on.query("select sum(requests) from {marts}.live_usage") == [(56,)]
                policies = (
                    "select coalesce(config->>'compress_after', config->>'drop_after') as days"
                    " from timescaledb_information.jobs"
                    " where hypertable_schema = '{marts}' and hypertable_name = 'llm_requests' order by days"
                )
                assert on.query(policies) == [("30 days",), ("3652 days",)]
        if licence == "timescale":
            on.query("select compress_chunk(chunk, true) from show_chunks('{marts}.llm_requests') as chunk")
        with path.open("ab") as log:
            log.write(as_line(tokenledger("e1", "2026-10-05T12:00:00Z", output_tokens=999)) + b"\n")
        on.run("load", path)
        dbt(on, tmp_path, *build)
        assert on.query("select count(*), max(output_tokens) from {marts}.llm_requests") == [(56, 999)]


if "TOKENMART_TEST_TIMESCALE" in os.environ:
    test_requests_and_events_lie_in_hypertables = hypertables
