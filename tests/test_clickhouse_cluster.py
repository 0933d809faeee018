"""On a ClickHouse cluster the marts are the same; Distributed tables are those of the stand-in for one."""

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
from tokenmart.dbt_runner import disconnect

SPREAD = {"table_engine": "ReplicatedMergeTree()", "distributed": True}
SETTINGS = {"insert_distributed_sync": 1, "prefer_global_in_and_join": 1}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Engine]:
    """A target on the cluster "one"."""
    with engine("clickhouse", tmp_path / "cluster") as on:
        profile(on, custom_settings=SETTINGS)
        yield on


def profile(on: Engine, **settings: object) -> None:
    """Puts the target on the cluster, with these settings."""
    path = on.folder / "profiles.yml"
    said = yaml.safe_load(path.read_text())
    said["tokenmart"]["outputs"]["clickhouse"] |= {"cluster": "one", **settings}
    path.write_text(yaml.safe_dump(said))


def build(on: Engine, *more: str, **variables: object) -> str:
    """Builds everything, spread over the cluster; returns what went wrong."""
    places = ["--profiles-dir", str(on.folder), "--target-path", str(on.folder / "target"), "--log-level", "none"]
    arguments = [
        "build",
        "--exclude-resource-type",
        "unit_test",
        "--vars",
        json.dumps({**SPREAD, **variables}),
        *places,
        *more,
    ]
    with on.chosen():
        outcome = dbtRunner().invoke([*arguments, "--log-path", str(on.folder)])
    disconnect()
    return " ".join(str(result.message) for result in outcome.result.results if result.status in ("error", "fail"))


def test_distributed_tables_have_the_same_rows(cluster: Engine, tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    shutil.copytree(PROJECT / "examples", logs)
    files = sorted(path for path in logs.rglob("*.jsonl") if path.is_file())
    with engine("duckdb", tmp_path / "duckdb") as embedded:
        embedded.run("run", *files)
        expected = read(embedded)
    for half in (files[::2], files):
        cluster.run("load", *half)
        assert build(cluster) == ""
    assert list(differences(read(cluster), expected)) == []
    assert build(cluster, "--full-refresh") == ""
    assert list(differences(read(cluster), expected)) == []
    # rows are deleted from the parts of the tables, and the marts' days with them
    days = (dt.datetime.now(dt.UTC).date() - dt.date(2026, 10, 15)).days
    assert build(cluster, retention_days=days) == ""
    for table in ("llm_requests", "daily_costs"):
        assert cluster.query(f"select min(usage_date) from {{marts}}.{table}") == [(dt.date(2026, 10, 15),)], table


def test_settings_that_would_lose_rows_are_refused(cluster: Engine) -> None:
    cluster.run("load", PROJECT / "examples")
    profile(cluster, custom_settings={"insert_distributed_sync": 1})
    assert "needs prefer_global_in_and_join: 1" in build(cluster)
