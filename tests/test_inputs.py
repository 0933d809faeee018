"""A build starts dbt only if there are new events, or if anything else that the marts depend on has changed."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner

import tokenmart.build
import tokenmart.inputs
from conftest import PROJECT, Mart, copy_project, tokenledger
from story import Story
from tokenmart.dbt_runner import close_dbt_connections
from tokenmart.destinations import connect
from tokenmart.inputs import has_unprocessed_loads, last_build, reusable
from tokenmart.profile import read_target


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of the project, and a DuckDB file with one request in its marts."""
    folder = tmp_path_factory.mktemp("built")
    project = copy_project(folder / "project")
    (project / "profiles.yml").write_text((PROJECT / "profiles.example.yml").read_text())
    mart = Mart(folder, folder / "mart.duckdb")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENMART_DUCKDB_PATH", str(mart.path))
        patch.setenv("DBT_PROFILES_DIR", str(project))
        patch.setenv("DBT_TARGET_PATH", str(folder / "target"))
        mart.run("run", mart.write("log.jsonl", tokenledger("e1")), "--project-dir", project)
    return project, mart.path


@pytest.fixture
def copy(built: tuple[Path, Path], mart: Mart, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Mart]:
    """Copies of the project and the mart that a test can change. Starting dbt fails."""
    project, path = built
    changed = mart.folder / "copy"
    shutil.copytree(project, changed)
    shutil.copy(path, mart.path)
    monkeypatch.setenv("TOKENMART_DUCKDB_PATH", str(mart.path))
    monkeypatch.setenv("DBT_PROFILES_DIR", str(changed))

    def start(*_: object, **__: object) -> None:
        raise AssertionError("dbt was started")

    monkeypatch.setattr(tokenmart.build, "run_dbt", start)
    return changed, replace(mart)


def append(name: str, text: str) -> Callable[[Path, Mart], None]:
    """Adds a line to a file of the project."""

    def change(project: Path, _: Mart) -> None:
        with (project / name).open("a") as file:
            file.write(text + "\n")

    return change


def query(sql: str) -> Callable[[Path, Mart], object]:
    return lambda _, mart: mart.query(sql)


def load(project: Path, mart: Mart) -> None:
    mart.run("load", mart.write("more.jsonl", tokenledger("e2")), "--project-dir", project)


def zone(project: Path, _: Mart) -> None:
    path = project / "dbt_project.yml"
    path.write_text(path.read_text().replace("reporting_time_zone: UTC", "reporting_time_zone: Asia/Tokyo"))


CHANGES: dict[str, Callable[[Path, Mart], object]] = {
    "a new load": load,
    "a variable": zone,
    "a setting of the user": lambda project, _: (project / "tokenmart.yml").write_text("cost_preference: computed"),
    "a model": append("models/marts/daily_costs.sql", "-- changed"),
    "a new model": append("models/marts/daily_requests.sql", "select 1 as requests"),
    "a macro": append("macros/average.sql", "{# changed #}"),
    "a data test": append("tests/assert_cost_parts_add_up.sql", "-- changed"),
    "a price": append("seeds/model_prices.csv", "acme,acme-llm-1,standard,,,,,,,,,,,,,,,"),
    "a name of a provider": append("seeds/provider_aliases.csv", "acme-gateway,acme"),
    "a mart that is gone": query("drop table marts.daily_latency"),
    "a build that failed": query("update raw_usage.builds set is_successful = false"),
    "a load that two builds have processed": query(
        "insert into marts.loads select * from marts.loads where load_status = 'processed'"
    ),
    "a build that was killed": query("insert into marts.loads values ('1', 9000000000000000, 'processing')"),
    "a build of another version": query("update raw_usage.builds set inputs = replace(inputs, '0.2', '0.1')"),
    "a build of an earlier day": query(
        "update raw_usage.builds set inputs = regexp_replace(inputs, '\\d{4}-\\d\\d-\\d\\d', '2026-01-01')"
    ),
    "a build of another target": query("update raw_usage.builds set target = 'other'"),
    "a load that was undone": query("insert into raw_usage.undone_loads values ('1', 9000000000000000, '')"),
}


def test_dbt_does_not_start_if_nothing_has_changed(copy: tuple[Path, Mart]) -> None:
    project, mart = copy
    assert "nothing has changed since the build of 20" in mart.run("build", "--project-dir", project).stdout
    answer = mart.json("build", "--project-dir", project)
    assert answer["unchanged_since"] and answer["failures"] == []


@pytest.mark.parametrize("options", [["--force"], ["--full-refresh"]])
def test_dbt_starts_if_requested(copy: tuple[Path, Mart], options: list[str]) -> None:
    project, mart = copy
    assert "dbt was started" in mart.run("build", *options, "--project-dir", project, code=1).output


@pytest.mark.parametrize("name", CHANGES)
def test_dbt_starts_if_anything_has_changed(copy: tuple[Path, Mart], name: str) -> None:
    project, mart = copy
    CHANGES[name](project, mart)
    assert "dbt was started" in mart.run("build", "--project-dir", project, code=1).output


def test_the_command_and_the_models_agree_on_the_loads_to_process(copy: tuple[Path, Mart]) -> None:
    project, mart = copy
    query = "{{ settled_loads('marts.loads') }}"
    outcome = dbtRunner().invoke(["compile", "--inline", query, "--project-dir", str(project), "--log-level", "none"])
    close_dbt_connections()
    settled = outcome.result.results[0].node.compiled_code
    ((load_id,),) = mart.query("select load_id from raw_usage._dlt_loads")
    for processed, repaired in product(range(3), repeat=2):
        mart.query("delete from marts.loads")
        for status in ["processing", *["processed"] * processed, *["repaired"] * repaired]:
            mart.query(f"insert into marts.loads values ('{load_id}', 1, '{status}')")
        target = read_target(project)
        with connect(target) as warehouse:
            has_unprocessed = has_unprocessed_loads(warehouse, target)
        assert has_unprocessed == (mart.query(settled) == []) == (processed != 1 and not repaired)


def test_prices_and_views_are_built_again_only_if_they_have_changed(
    copy: tuple[Path, Mart], monkeypatch: pytest.MonkeyPatch
) -> None:
    project, mart = copy
    reused = []

    def start(_: object, arguments: list[str], **__: object) -> None:
        reused.append(("seed" in arguments, "config.materialized:view" in arguments))
        raise AssertionError("dbt was started")

    monkeypatch.setattr(tokenmart.build, "run_dbt", start)
    # a build that failed reuses nothing, so the builds below have to be unrecorded
    monkeypatch.setattr(tokenmart.build, "_record", lambda *_: None)
    load(project, mart)
    for options in ([], ["--force"], ["--full-refresh"]):
        mart.run("build", *options, "--project-dir", project, code=1)
    assert reused == [(True, True), (True, False), (False, False)]
    for name, expected in (("a model", (True, False)), ("a price", (False, False))):
        CHANGES[name](project, mart)
        mart.run("build", "--project-dir", project, code=1)
        assert reused[-1] == expected


def test_nothing_is_reused_if_something_else_was_built_since_the_last_build(copy: tuple[Path, Mart]) -> None:
    target = read_target(copy[0])
    with connect(target) as warehouse:
        last = last_build(warehouse, target)
        assert last and last.tables >= {"daily_costs", "usage_coverage"}
        assert reusable(warehouse, target, last) == {"prices", "views"}
        assert reusable(warehouse, target, replace(last, batch_id=last.batch_id - 1)) == set()
        assert reusable(warehouse, target, replace(last, is_successful=False)) == set()
        assert reusable(warehouse, target, replace(last, tables={*last.tables, "dropped"})) == {"prices"}
        assert reusable(warehouse, target, None) == set()


def test_a_build_without_views_keeps_them_and_tests_them(empty: Story) -> None:
    empty.load(tokenledger("first"))
    empty.build()
    empty.load(tokenledger("second"))
    found = empty.mart.json("build")
    kept = {row[0] for row in empty.mart.query("select view_name from duckdb_views() where schema_name = 'marts'")}
    assert kept >= {"usage_coverage", "focus_costs", "stg_usage__events"}
    assert empty.mart.query("select requests from marts.usage_coverage") == [(2,)]
    nodes = len(list(PROJECT.glob("models/*/*.sql"))) + len(list(PROJECT.glob("seeds/*.csv")))
    assert found["models"] == nodes - len(kept) - len(list(PROJECT.glob("seeds/*.csv")))
    assert "Nothing to build" in empty.mart.run("build").output
    # the tests are the same
    assert empty.mart.json("build", "--force")["tests"] == found["tests"]
