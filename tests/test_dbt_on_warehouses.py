"""What dbt does beside building works on every warehouse too: unit tests, freshness, docs."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import as_line, tokenledger
from dbt.cli.main import dbtRunner
from targets import EMULATED, OTHERS, Engine, engine

from loader.build import _disconnect


@pytest.fixture(scope="module", params=OTHERS)
def on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A warehouse with a few requests, built."""
    with engine(request.param, tmp_path_factory.mktemp(request.param)) as started:
        log = started.folder / "log.jsonl"
        log.write_bytes(b"".join(as_line(tokenledger(f"e{number}")) + b"\n" for number in range(5)))
        started.run("run", log)
        yield started


def dbt(on: Engine, target: Path, *arguments: str) -> Any:
    """Runs dbt on the warehouse; what it makes comes to the folder `target`."""
    places = ["--profiles-dir", str(on.folder), "--target-path", str(target), "--log-path", str(target)]
    with on.chosen():
        outcome = dbtRunner().invoke([*arguments, "--log-level", "none", *places])
    _disconnect()
    assert outcome.success, outcome.exception or [result.message for result in outcome.result.results]
    return outcome.result


def test_freshness_is_that_of_the_load(on: Engine, tmp_path: Path) -> None:
    results = dbt(on, tmp_path, "source", "freshness").results
    assert [(result.node.name, result.status, result.age < 600) for result in results] == [("events", "pass", True)]


def test_docs_know_every_column(on: Engine, tmp_path: Path) -> None:
    # the emulator has no statistics of tables, which the catalog asks for
    dbt(on, tmp_path, "docs", "generate", *(["--empty-catalog"] if on.target.type == "bigquery" else []))
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    catalog = json.loads((tmp_path / "catalog.json").read_text())["nodes"]
    models = {name: node for name, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    assert len(models) == 17
    # what the emulators say of their tables is not what the real ones do
    for name, node in models.items() if on.name not in EMULATED else ():
        found = {column.lower() for column in catalog[name]["columns"]}
        assert found == set(node["columns"]), name


# on the others too each passes by itself; there they take minutes, or differ in the last bit of a percentile
@pytest.mark.parametrize("on", ["postgres"], indirect=True)
def test_unit_tests_pass(on: Engine, tmp_path: Path) -> None:
    results = dbt(on, tmp_path, "test", "--select", "test_type:unit").results
    assert {result.status for result in results} == {"pass"}
    assert len(results) >= 79
