"""Wrong rows of the budgets fail a data test that says what is wrong with them, and the command says what to do."""

from decimal import Decimal
from pathlib import Path

import pytest
from dbt.cli.main import dbtRunner

from conftest import PROJECT, Mart, copy_project, share_parsed, tokenledger
from tokenmart.dbt_runner import close_dbt_connections

HEADER = (PROJECT / "seeds/budgets.csv").read_text()
# for each problem, rows of one budget of which the last one has it
INVALID = {
    "budget_id is empty": [",month,total,,1,,,"],
    "period is not month or week": ["a,Month,total,,1,,,"],
    "dimension is not total, model, provider, user, team, project": ["a,month,teams,search,1,,,"],
    "value is not empty, but the dimension is total": ["a,month,total,search,1,,,"],
    "value is empty": ["a,month,team,,1,,,"],
    "amount_usd is empty or negative": ["a,month,total,,-0.000001,,,"],
    "warning_share is not from 0 to 1": ["a,month,total,,1,1.000001,,"],
    "valid_to is not after valid_from": ["a,month,total,,1,,2026-10-01,2026-10-01"],
    "an earlier row of the same budget_id is still valid on valid_from": [
        "a,month,total,,1,,,2026-10-02",
        "a,week,total,,1,,2026-10-01,",
    ],
}
MORE_INVALID = [
    ("amount_usd is empty or negative", ["a,month,total,,,,,"]),
    ("period is not month or week", ["a,,total,,1,,,"]),
    ("warning_share is not from 0 to 1", ["a,month,total,,1,-0.1,,"]),
    # the first row is longer than the second one
    (
        "an earlier row of the same budget_id is still valid on valid_from",
        ["a,month,total,,1,,2026-01-01,", "a,month,total,,1,,2026-02-01,2026-03-01"],
    ),
]
VALID = [
    "a,month,total,,0,0,,2026-10-01",
    "a,month,total,,1.5,1,2026-10-01,2026-11-01",
    "a,week,team,search,1,,2026-11-01,",
    "b,week,user,unattributed,1,0.5,,",
    *(f"{dimension},month,{dimension},x,1,,," for dimension in ("model", "provider", "project")),
]


@pytest.fixture
def query(mart: Mart, artifacts: Path) -> str:
    """The query of the data test. The target has the seed's table."""
    options = ["--project-dir", str(PROJECT), "--log-level", "none"]
    seeded = dbtRunner().invoke(["seed", "--select", "budgets", *options])
    compiled = dbtRunner().invoke(["compile", "--select", "assert_budgets_are_valid", *options])
    close_dbt_connections()
    assert seeded.success and compiled.success, seeded.exception or compiled.exception
    return str(compiled.result.results[0].node.compiled_code)


def problems(mart: Mart, query: str, rows: list[str]) -> list[tuple[str | None, str]]:
    """What the data test says about a table of budgets with these lines."""
    path = mart.write("budgets.csv", HEADER.strip(), *rows)
    mart.query(f"delete from marts.budgets; copy marts.budgets from '{path}' (format csv, header true)")
    return sorted((row[0], row[2]) for row in mart.query(query))


def test_every_wrong_row_is_found(mart: Mart, query: str) -> None:
    assert problems(mart, query, []) == []
    assert problems(mart, query, VALID) == []
    for problem, rows in [*INVALID.items(), *MORE_INVALID]:
        assert problems(mart, query, [*VALID[3:], *rows]) == [(rows[0].split(",")[0] or None, problem)], rows


@pytest.mark.slow
def test_a_build_fails_with_wrong_budgets_and_says_what_to_do(
    mart: Mart, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = copy_project(tmp_path / "project")
    share_parsed(artifacts, tmp_path / "artifacts")
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "artifacts"))
    here, budgets = ("--project-dir", project), project / "seeds/budgets.csv"
    budgets.write_text(HEADER + "all,month,total,,0.000001,,,\nall,month,total,,0.25,,2026-10-01,\n")
    mart.run("load", mart.write("log.jsonl", tokenledger("e1", cost_usd=0.2)), *here)
    answer = mart.json("build", *here, code=1)
    (failure,) = answer["failures"]
    assert failure.startswith("assert_budgets_are_valid") and "budget_id=all, valid_from=2026-10-01" in failure
    assert "problem=an earlier row of the same budget_id is still valid" in failure
    assert answer["hint"].startswith("Correct the row in seeds/budgets.csv")

    budgets.write_text(HEADER + "all,month,total,,0.000001,,,2026-10-01\nall,month,total,,0.25,,2026-10-01,\n")
    mart.run("build", *here)
    status = "select amount_usd, spent_usd, status from marts.budget_status where period_start = '2026-10-01'"
    assert mart.query(status) == [(Decimal("0.25"), Decimal("0.2"), "warning")]
