"""Settings come from dbt_project.yml, tokenmart.yml and the environment, in this order; mistakes are refused."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import PROJECT, Mart, tokenledger
from tokenmart.errors import UsageError
from tokenmart.profile import read_target
from tokenmart.settings import dbt_variables, setting_names, variable_of


def test_the_environment_comes_before_the_file(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert dbt_variables(project) == {} and "--vars" not in read_target(project).dbt_options
    (project / "tokenmart.yml").write_text("cost_preference: computed\nretention_days: 90\n")
    assert dbt_variables(project) == {"cost_preference": "computed", "retention_days": 90}
    monkeypatch.setenv("TOKENMART_RETENTION_DAYS", "30")
    assert dbt_variables(project) == {"cost_preference": "computed", "retention_days": 30}
    options = read_target(project).dbt_options
    assert yaml.safe_load(options[options.index("--vars") + 1]) == dbt_variables(project)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("30", 30),
        ("null", None),
        ("true", True),
        ("Europe/Berlin", "Europe/Berlin"),
        ("2026-01-01", "2026-01-01"),
        ("[1]", "[1]"),
        ("ReplicatedMergeTree('/a/{shard}', '{replica}')", "ReplicatedMergeTree('/a/{shard}', '{replica}')"),
        ("{", "{"),
    ],
)
def test_a_value_of_the_environment_is_a_number_a_boolean_null_or_text(
    text: str, value: Any, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENMART_TABLE_ENGINE", text)
    assert dbt_variables(project) == {"table_engine": value}


def test_an_unknown_setting_is_refused(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENMART_PASSWORD", "for the profile")
    monkeypatch.setenv("TOKENMART_RETENTION_DAYS", "")
    assert dbt_variables(project) == {}
    monkeypatch.setenv("TOKENMART_RETENTION_DAY", "30")
    with pytest.raises(UsageError, match="TOKENMART_RETENTION_DAY does not set anything") as refused:
        dbt_variables(project)
    assert refused.value.hint == "Did you mean TOKENMART_RETENTION_DAYS?"
    path = project / "tokenmart.yml"
    for name, hint in {"late_days": "Did you mean late_data_days?", "types": "Settings are approximate_"}.items():
        path.write_text(f"{name}: 1")
        with pytest.raises(UsageError, match=f"{path} has the setting {name}, which does not exist") as refused:
            dbt_variables(project)
        assert str(refused.value.hint).startswith(hint)


def test_every_setting_is_in_the_readme() -> None:
    text = (PROJECT / "README.md").read_text()
    assert setting_names()
    assert [name for name in setting_names() if f"`{name}" not in text] == []
    assert variable_of("retention_days") in text


@pytest.mark.slow
def test_a_build_and_doctor_use_the_settings(mart: Mart, artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOKENMART_REPORTING_TIME_ZONE", "Europe/Berlin")
    # dbt parses the project again for other settings
    monkeypatch.setenv("DBT_TARGET_PATH", str(mart.folder / "target"))
    # 23:30 UTC is 01:30 of the next day in Berlin
    mart.run("run", mart.write("a.jsonl", tokenledger("e1", "2026-10-01T23:30:00Z")))
    assert str(mart.query("select usage_date from marts.daily_costs")[0][0]) == "2026-10-02"
    doctor = mart.json("doctor")
    assert {"reporting_time_zone = Europe/Berlin"} == {row["found"] for row in doctor if row["what"] == "settings"}
    with monkeypatch.context() as defaults:
        defaults.delenv("TOKENMART_REPORTING_TIME_ZONE")
        defaults.setenv("DBT_TARGET_PATH", str(artifacts))
        message = mart.run("build").output
    assert "The dates in the marts are those of Europe/Berlin" in message
    assert str(mart.query("select usage_date from marts.daily_costs")[0][0]) == "2026-10-01"
    monkeypatch.setenv("TOKENMART_REPORTING_TIME_ZONE", "Europe/Berlim")
    message = mart.run("build", code=1).stderr
    assert "did you mean Europe/Berlin" in message and "TOKENMART_" in message and "rebuilding" not in message
    monkeypatch.setenv("TOKENMART_COST_PREFERENSE", "computed")
    assert "Did you mean TOKENMART_COST_PREFERENCE?" in mart.run("build", code=2).stderr
    assert "Did you mean TOKENMART_COST_PREFERENCE?" in mart.run("doctor", code=1).stdout


def test_the_environment_selects_the_target_unless_an_option_does(
    project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outputs = {name: {"type": "duckdb", "schema": "marts", "path": f"{name}.duckdb"} for name in ("one", "two")}
    (tmp_path / "profiles.yml").write_text(yaml.safe_dump({"tokenmart": {"target": "one", "outputs": outputs}}))
    monkeypatch.setenv("DBT_PROFILES_DIR", str(tmp_path))
    assert read_target(project).name == "one"
    monkeypatch.setenv("TOKENMART_TARGET", "two")
    assert (read_target(project).name, read_target(project).option) == ("two", "")
    assert read_target(project, "one").name == "one"
