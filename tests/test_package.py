"""Tokenmart is a package in another dbt project: its marts are built there, and that project's models are unchanged."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from dbt.cli.main import dbtRunner

from conftest import PROJECT, as_lines, tokenledger
from targets import MARTS, Engine, engine
from tokenmart.cli import main
from tokenmart.dbt_runner import close_dbt_connections
from tokenmart.profile import schema_of_package

# dbt resolves the refs of generic tests by the model's name alone
FLAGS = {"send_anonymous_usage_stats": False, "require_ref_searches_node_package_before_root": True}
FILES = {
    "packages.yml": f"packages:\n  - local: {PROJECT}\n",
    # names that Tokenmart also has
    "models/loads.sql": "select 'own' as load_id",
    "models/users.sql": "select 'own' as user_id",
    "models/spending.sql": "select sum(cost_usd) as cost_usd from {{ ref('tokenmart', 'daily_costs') }}",
    "models/sources.yml": "sources:\n  - name: raw_usage\n    tables:\n      - name: events\n",
    "models/own.md": "{% docs __overview__ %}\nOur project.\n{% enddocs %}\n",
    "macros/data_type.sql": "{% macro data_type(name) %}no type{% endmacro %}",
    "macros/unique_together.sql": "{% test unique_together(model, columns) %}not SQL{% endtest %}",
}


@pytest.fixture(scope="module", params=["duckdb", "postgres"])
def on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """An empty warehouse; its folder `shop` is a dbt project with Tokenmart as a package and two marts disabled."""
    with engine(request.param, tmp_path_factory.mktemp(request.param)) as started:
        shop = started.folder / "shop"
        disabled = {name: {"+enabled": False} for name in ("hourly_costs", "daily_latency")}
        tokenmart = {"+schema": "llm", "marts": disabled}
        project = {
            "name": "shop",
            "version": "1.0",
            "profile": "warehouse",
            "flags": {**FLAGS},
        }
        project |= {"models": {"tokenmart": tokenmart}, "seeds": {"tokenmart": {"+schema": "llm"}}}
        profile = {"warehouse": {"target": "prod", "outputs": {"prod": started.target.settings}}}
        files = {**FILES, "dbt_project.yml": yaml.safe_dump(project), "profiles.yml": yaml.safe_dump(profile)}
        for name, text in files.items():
            (shop / name).parent.mkdir(parents=True, exist_ok=True)
            (shop / name).write_text(text)
        yield started
        started.query(f"drop schema if exists {MARTS}_llm cascade")


def in_shop(on: Engine, patch: pytest.MonkeyPatch) -> None:
    """Makes the project `shop` the current folder, with its own profile."""
    patch.delenv("DBT_PROFILES_DIR")
    patch.chdir(on.folder / "shop")


def dbt(on: Engine, *arguments: str) -> Any:
    with on.chosen(), pytest.MonkeyPatch.context() as patch:
        in_shop(on, patch)
        outcome = dbtRunner().invoke([*arguments, "--quiet"])
    close_dbt_connections()
    assert outcome.success, outcome.exception or [
        result.message for result in outcome.result.results if result.status in ("error", "fail")
    ]
    return outcome.result


def tokenmart(on: Engine, *arguments: str | Path) -> Result:
    with on.chosen(), pytest.MonkeyPatch.context() as patch:
        in_shop(on, patch)
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
    assert result.exit_code == 0, f"{result.output}\n{result.exception!r}"
    return result


def test_a_project_with_models_of_the_same_names_keeps_them(on: Engine) -> None:
    dbt(on, "deps")
    log = on.folder / "log.jsonl"
    log.write_bytes(as_lines(tokenledger("a", cost_usd=0.5)))
    ran = tokenmart(on, "run", log).output
    assert "$0.500000 for 1 request on" in ran and "p95" not in ran.partition("By model")[0]
    assert on.query(f"select requests, cost_usd from {MARTS}_llm.users")[0][0] == 1
    log.write_bytes(log.read_bytes() + as_lines(tokenledger("b", cost_usd=0.25)))
    tokenmart(on, "load", log)
    assert "not in the marts yet: 1" in tokenmart(on, "status").output

    nodes = {result.node.unique_id for result in dbt(on, "build", "--exclude-resource-type", "unit_test").results}
    assert {"model.shop.users", "model.tokenmart.users"} <= nodes and "model.tokenmart.hourly_costs" not in nodes
    # a unit test of models with the same names, of the loader's tables, and of a seed that users can replace
    tested = [f"test_type:unit,{model}" for model in ("users", "stg_usage__events", "budget_status")]
    assert len(dbt(on, "test", "--select", *tested).results) > 10
    assert on.query("select * from {marts}.loads") == on.query("select * from {marts}.users") == [("own",)]
    assert [str(row[0]) for row in on.query("select cost_usd from {marts}.spending")] == ["0.750000000000"]
    assert on.query(f"select requests from {MARTS}_llm.users") == [(2,)]


def test_a_project_has_its_own_price_overrides(on: Engine) -> None:
    log = on.folder / "own prices.jsonl"
    # not in the month whose budget is checked
    event = tokenledger("own price", "2026-11-02T12:00:00Z", model="acme-llm", input_tokens=1_000_000, output_tokens=0)
    log.write_bytes(as_lines(event))
    tokenmart(on, "load", log)
    shop = on.folder / "shop"
    columns = (PROJECT / "seeds/price_overrides.csv").read_text()
    assert columns.startswith("override_id,provider,model_pattern,service_tier,")
    (shop / "seeds").mkdir(exist_ok=True)
    (shop / "seeds/our_prices.csv").write_text(columns + "ours,,acme-%,,,,,,,3,,,,3,,\n")
    types = dict.fromkeys(("override_id", "provider", "model_pattern", "service_tier", "team", "project"), "varchar")
    types |= dict.fromkeys(("valid_from", "valid_to"), "date")
    types |= {column: "numeric(18, 6)" for column in columns.strip().split(",") if column not in types}
    path = shop / "dbt_project.yml"
    project = yaml.safe_load(path.read_text())
    seeds = {**project["seeds"], "shop": {"our_prices": {"+column_types": types}}}
    try:
        path.write_text(
            yaml.safe_dump({**project, "seeds": seeds, "vars": {"tokenmart": {"price_overrides": "our_prices"}}})
        )
        tokenmart(on, "build")
        cost = f"select cost_usd, price_override_id from {MARTS}_llm.llm_requests where event_id = 'own price'"
        assert [(str(usd), row) for usd, row in on.query(cost)] == [("3.000000000000", "ours")]
        # a change of the seed is noticed
        (shop / "seeds/our_prices.csv").write_text(columns + "ours,,acme-%,,,,,,,4,,,,3,,\n")
        tokenmart(on, "build")
        assert [str(usd) for usd, _ in on.query(cost)] == ["4.000000000000"]
    finally:
        path.write_text(yaml.safe_dump(project))


def test_what_if_uses_the_macros_and_variables_of_tokenmart(on: Engine) -> None:
    found = json.loads(tokenmart(on, "whatif", "--from", "gpt-4o-mini", "--to", "gpt-4o", "--json").stdout)
    # of each request 1,000 x 2.5 + 100 x 10, per million
    assert found["what_if"]["cost_usd"] == "0.007000000000" and found["actual"]["cost_usd"] == "0.750000000000"


def test_logs_can_be_loaded_while_the_project_does_not_parse(on: Engine) -> None:
    schema_of_package.cache_clear()
    broken = on.folder / "shop/models/broken.sql"
    broken.write_text("select {{ ref('no such model'")
    log = on.folder / "while broken.jsonl"
    log.write_bytes(as_lines(tokenledger("c")))
    try:
        assert json.loads(tokenmart(on, "load", log, "--json").stdout)["files"][0]["landed"] == 1
    finally:
        broken.unlink()


def test_unknown_variables_of_tokenmart_are_refused_but_not_those_of_the_project(on: Engine) -> None:
    path = on.folder / "shop/dbt_project.yml"
    project = yaml.safe_load(path.read_text())
    try:
        own = {"region": "EU", "tokenmart": {"retention_dayz": 30, "cost_preference": "computed"}}
        path.write_text(yaml.safe_dump({**project, "vars": own}))
        with on.chosen(), pytest.MonkeyPatch.context() as patch:
            in_shop(on, patch)
            refused = str(dbtRunner().invoke(["parse", "--quiet", "--vars", "{zone: 3, retention_day: 3}"]).exception)
        for name in ("retention_dayz", "retention_day"):
            assert f"Tokenmart has no variable {name} (did you mean retention_days?)." in refused
        assert "zone" not in refused and "region" not in refused
    finally:
        path.write_text(yaml.safe_dump(project))


def test_the_budgets_can_be_a_seed_of_the_project(on: Engine) -> None:
    path, seed = on.folder / "shop/dbt_project.yml", on.folder / "shop/seeds/spending_limits.csv"
    project = yaml.safe_load(path.read_text())
    columns = (PROJECT / "seeds/budgets.csv").read_text()
    seed.parent.mkdir(exist_ok=True)
    seed.write_text(columns + "all,month,total,,0.75,,,\nann,week,user,ann,1,,,\n")
    types = {"warning_share": "decimal(18,6)", "valid_from": "date", "valid_to": "date"}
    seeds = {**project["seeds"], "shop": {"+column_types": types}}
    # the ref that unit tests replace is the package's own seed
    selected = ["--select", "spending_limits", "budget_status", "assert_budgets_are_valid"]
    try:
        path.write_text(yaml.safe_dump({**project, "seeds": seeds, "vars": {"tokenmart": {"budgets": seed.stem}}}))
        kinds = {str(result.node.resource_type) for result in dbt(on, "build", *selected).results}
        assert kinds == {"seed", "model", "test", "unit_test"}
        status = f"select budget_id, status from {MARTS}_llm.budget_status where period_start <= '2026-10-01'"
        assert sorted(set(on.query(f"{status} and requests > 0"))) == [("all", "warning")]
        # the view shows what the table has now
        on.query("update {marts}.spending_limits set amount_usd = 0.5")
        assert sorted(set(on.query(f"{status} and requests > 0"))) == [("all", "exceeded")]
    finally:
        path.write_text(yaml.safe_dump(project))
        seed.unlink()


def test_the_docs_overview_is_that_of_the_project(on: Engine) -> None:
    docs = dbt(on, "parse").docs
    assert docs["doc.shop.__overview__"].block_contents == "Our project."
    assert "doc.tokenmart.__overview__" not in docs and "doc.tokenmart.__tokenmart__" in docs
