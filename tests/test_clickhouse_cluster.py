"""The marts are the same on a ClickHouse cluster, for which a single server stands in."""

import datetime as dt
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dbt.cli.main import dbtRunner

from conftest import PROJECT
from targets import Engine, engine
from test_conformance import differences, read
from tokenmart.dbt_runner import close_dbt_connections

DISTRIBUTED = {"table_engine": "ReplicatedMergeTree()", "distributed": True}
WITHOUT_TESTS = ("--exclude-resource-type", "test")
SETTINGS = {"insert_distributed_sync": 1, "prefer_global_in_and_join": 1}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Engine]:
    """A target on the cluster "one"."""
    with engine("clickhouse", tmp_path / "cluster") as on:
        put_on_cluster(on, custom_settings=SETTINGS)
        yield on


def put_on_cluster(on: Engine, **settings: object) -> None:
    """Puts the target on the cluster, with these settings."""
    path = on.folder / "profiles.yml"
    content = yaml.safe_load(path.read_text())
    content["tokenmart"]["outputs"]["clickhouse"] |= {"cluster": "one", **settings}
    path.write_text(yaml.safe_dump(content))


def build(on: Engine, *more: str, **variables: object) -> str:
    """Builds everything with Distributed tables; returns the messages of errors and failures."""
    places = ["--profiles-dir", str(on.folder), "--target-path", str(on.folder / "target"), "--log-level", "none"]
    arguments = [
        "build",
        "--exclude-resource-type",
        "unit_test",
        "--vars",
        json.dumps({**DISTRIBUTED, **variables}),
        *places,
        *more,
    ]
    with on.chosen():
        outcome = dbtRunner().invoke([*arguments, "--log-path", str(on.folder)])
    close_dbt_connections()
    return " ".join(str(result.message) for result in outcome.result.results if result.status in ("error", "fail"))


def test_distributed_tables_have_the_same_rows(cluster: Engine, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    shutil.copytree(PROJECT / "examples", logs)
    files = sorted(path for path in logs.rglob("*.jsonl") if path.is_file())
    with engine("duckdb", tmp_path / "duckdb") as embedded:
        embedded.run("run", *files)
        expected = read(embedded)
    assert expected["llm_requests"] and expected["daily_costs"]
    for half, options in ((files[::2], WITHOUT_TESTS), (files, ())):
        cluster.run("load", *half)
        assert build(cluster, *options) == ""
    assert list(differences(read(cluster), expected)) == []
    assert build(cluster, "--full-refresh") == ""
    assert list(differences(read(cluster), expected)) == []
    # retention deletes rows from the tables behind the Distributed ones, and their days from the marts
    days = (dt.datetime.now(dt.UTC).date() - dt.date(2026, 10, 15)).days
    assert build(cluster, "--select", "+daily_costs", *WITHOUT_TESTS, retention_days=days) == ""
    for table in ("llm_requests", "daily_costs"):
        assert cluster.query(f"select min(usage_date) from {{marts}}.{table}") == [(dt.date(2026, 10, 15),)], table


def test_settings_that_would_lose_rows_are_refused(cluster: Engine) -> None:
    cluster.run("load", PROJECT / "examples")
    put_on_cluster(cluster, custom_settings={"insert_distributed_sync": 1})
    assert "needs prefer_global_in_and_join: 1" in build(cluster)
