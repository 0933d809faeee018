"""Invoices are a seed of Tokenmart, or a seed or model of the user's project, and bad lines fail a test."""

import json
import os
from decimal import Decimal
from pathlib import Path

import pytest
import yaml
from dbt.cli.main import dbtRunner

from conftest import PROJECT, Mart, copy_project, share_parsed, tokenledger

HEADER = "invoice_line_id,provider,model,billed_from,billed_to,amount_usd"
STATUSES = "select invoice_line_id, cost_usd, invoice_status from marts.invoice_reconciliation order by 1"


@pytest.fixture
def project(artifacts: Path, tmp_path: Path, mart: Mart, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the dbt project that a test can change, with three requests of 0.00021 USD each."""
    folder = copy_project(tmp_path / "project")
    share_parsed(artifacts, tmp_path / "artifacts")
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "artifacts"))
    events = [tokenledger(f"e{day}", f"2026-10-0{day}T12:00:00Z", provider="Azure_OpenAI") for day in (1, 2, 3)]
    mart.run("load", mart.write("a.jsonl", *events), "--project-dir", folder)
    return folder


def write(project: Path, seed: str, *lines: str) -> None:
    (project / "seeds" / f"{seed}.csv").write_text("\n".join([HEADER, *lines]) + "\n")


def test_a_build_reads_the_lines_of_the_seed(project: Path, mart: Mart) -> None:
    write(project, "invoices", "i1,azure,,2026-10-01,2026-10-03,0.00042")
    mart.run("build", "--project-dir", project)
    cost = Decimal("0.00021")
    assert mart.query(STATUSES) == [("i1", 2 * cost, "matched"), (None, cost, "ours_only")]
    write(project, "invoices", "i1,azure,,2026-10-01,2026-10-03,0.00042", "i2,azure,,2026-10-03,2026-10-04,5")
    mart.run("build", "--project-dir", project)
    assert mart.query(STATUSES) == [("i1", 2 * cost, "matched"), ("i2", cost, "differing")]


@pytest.mark.parametrize(
    "lines",
    [
        ["i1,azure,,2026-10-03,2026-10-03,1"],
        ["i1,azure,,2026-10-01,2026-10-02,1", "i1,openai,,2026-10-01,2026-10-02,1"],
        ["i1,azure,,2026-10-01,2026-10-03,1", "i2,Azure,,2026-10-02,2026-10-04,1"],
    ],
    ids=["no days", "doubled id", "overlap"],
)
def test_a_bad_line_fails_a_build(lines: list[str], project: Path, mart: Mart) -> None:
    write(project, "invoices", *lines)
    assert "assert_invoices_are_valid" in mart.run("build", "--project-dir", project, code=1).output


def test_a_variable_names_another_seed(project: Path, mart: Mart, monkeypatch: pytest.MonkeyPatch) -> None:
    # dbt chooses the types of this seed, which has no types of its own
    write(project, "bills", "1,azure,,2026-10-01,2026-10-04,0.64")
    monkeypatch.setenv("TOKENMART_INVOICES", "bills")
    mart.run("build", "--project-dir", project)
    assert mart.query(STATUSES) == [("1", Decimal("0.00063"), "differing")]
    monkeypatch.setenv("TOKENMART_INVOICE_TOLERANCE_USD", "0.63937")
    mart.run("build", "--project-dir", project)
    assert mart.query(STATUSES) == [("1", Decimal("0.00063"), "matched")]


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("INVOICES", "5", "invoices is 5: write the name of a seed or model"),
        ("INVOICE_TOLERANCE_USD", "-1", "invoice_tolerance_usd is -1: write an amount"),
        ("INVOICE_TOLERANCE_USD", "null", "invoice_tolerance_usd is null: write an amount"),
        ("INVOICE_LAG_DAYS", "0.5", "invoice_lag_days is 0.5: write a whole number of days"),
    ],
)
def test_a_wrong_value_is_refused(
    variable: str, value: str, message: str, mart: Mart, artifacts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mart.run("load", mart.write("a.jsonl", tokenledger("e1")))
    monkeypatch.setenv(f"TOKENMART_{variable}", value)
    monkeypatch.setenv("DBT_TARGET_PATH", str(mart.folder / "target"))
    assert message in mart.run("build", code=1).stderr


def test_a_project_with_tokenmart_as_a_package_names_its_own_model(
    tmp_path: Path, profiles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    schema = {"tokenmart": {"+schema": "llm"}}
    project = {"name": "shop", "version": "1.0", "profile": "tokenmart", "models": schema, "seeds": schema}
    project["vars"] = {"tokenmart": {"invoices": "invoices"}}
    files = {
        "dbt_project.yml": yaml.safe_dump(project),
        "packages.yml": f"packages:\n  - local: {PROJECT}\n",
        # the same name as Tokenmart's seed
        "models/invoices.sql": "select 'i1' as invoice_line_id",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    for command in (["deps"], ["parse", "--write-json"]):
        assert dbtRunner().invoke([*command, "--profiles-dir", str(profiles), "--quiet"]).success
    manifest = json.loads((Path(os.environ["DBT_TARGET_PATH"]) / "manifest.json").read_text())
    depends_on = manifest["nodes"]["model.tokenmart.invoice_reconciliation"]["depends_on"]["nodes"]
    assert "model.shop.invoices" in depends_on and "seed.tokenmart.invoices" not in depends_on
