"""What a build does when the settings, the prices, the models or the time zone of the project have changed."""

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from dbt.cli.main import dbtRunner

from conftest import copy_project, share_parsed
from story import (
    BASE,
    DAILY,
    MINI,
    SONNET,
    UNKNOWN,
    Story,
    event,
    snapshot,
)


@pytest.fixture
def project(empty: Story, artifacts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the dbt project that a test can change, with its own artifacts."""
    folder = copy_project(tmp_path / "project")
    empty.artifacts = tmp_path / "artifacts"
    share_parsed(artifacts, empty.artifacts)
    monkeypatch.setenv("DBT_TARGET_PATH", str(empty.artifacts))
    return folder


def change(path: Path, old: str, new: str) -> None:
    """Replaces the first occurrence of a text in a file."""
    text = path.read_text()
    assert text.count(old) >= 1, f"{path.name} has no {old!r}"
    path.write_text(text.replace(old, new, 1))


def test_days_begin_in_the_reporting_time_zone(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    change(project / "dbt_project.yml", "reporting_time_zone: UTC", "reporting_time_zone: Asia/Shanghai")
    change(project / "dbt_project.yml", "late_data_days: null", "late_data_days: 1")
    # 16:00 in UTC is midnight in Shanghai
    moving = event("moving", "2026-01-12T15:59:30", output_tokens=9, status="success", cached_tokens=3)
    staying = event("staying", "2026-01-11T15:59:59.999999", output_tokens=9, status="success", cached_tokens=4)
    mart.run("load", mart.write("first.jsonl", moving, staying), *here)
    mart.run("build", *here)
    days = "select cast(usage_date as text), requests from marts.daily_costs_by_model order by 1"
    assert mart.query(days) == [("2026-01-11", 1), ("2026-01-12", 1)]

    later = snapshot(moving, timestamp="2026-01-12T16:00:00Z", output_tokens=77)
    mart.run("load", mart.write("second.jsonl", later), *here)
    mart.run("build", *here)
    assert mart.query(days) == [("2026-01-11", 1), ("2026-01-13", 1)]
    assert empty.literal_days("compiled/tokenmart/models/marts/daily_costs_by_model.sql") == [
        "2026-01-12",
        "2026-01-13",
    ]


def test_late_data_days_limit_where_a_request_is_searched_for(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    near, far = (event(name, f"2026-01-{day}T12:00:00", output_tokens=9) for name, day in (("near", 11), ("far", 10)))
    later = {"timestamp": "2026-01-12T12:00:00Z", "output_tokens": 77}
    mart.run("run", mart.write("first.jsonl", near, far), *here)
    dates = "select event_id, cast(usage_date as text) from marts.llm_requests order by 1, 2"
    affected = "compiled/tokenmart/models/requests/affected_dates.sql"

    change(project / "dbt_project.yml", "late_data_days: null", "late_data_days: 1")
    mart.run("load", mart.write("second.jsonl", snapshot(near, **later), snapshot(far, **later)), *here)
    failed = mart.run("build", *here, code=1).output
    assert "assert_no_request_is_lost_or_doubled" in failed and "event_id=far, times=2" in failed
    assert mart.query(dates) == [("far", "2026-01-10"), ("far", "2026-01-12"), ("near", "2026-01-12")]
    assert empty.literal_days(affected) == ["2026-01-11", "2026-01-12", "2026-01-13"]

    change(project / "dbt_project.yml", "late_data_days: 1", "late_data_days: null")
    mart.run("build", "--full-refresh", *here)
    assert mart.query(dates) == [("far", "2026-01-12"), ("near", "2026-01-12")]
    mart.run(
        "load", mart.write("third.jsonl", snapshot(far, timestamp="2026-01-16T12:00:00Z", output_tokens=99)), *here
    )
    mart.run("build", *here)
    assert mart.query(dates) == [("far", "2026-01-16"), ("near", "2026-01-12")]
    assert "date '" not in (empty.artifacts / affected).read_text()


def add_price(project: Path, provider: str, model: str, valid_from: str, usd_per_million: str) -> None:
    """Adds a price for input and output to model_prices. All other columns are empty."""
    prices = {"input_usd_per_million": usd_per_million, "output_usd_per_million": usd_per_million}
    row = {"provider": provider, "model": model, "valid_from": valid_from, **prices}
    seed = project / "seeds/model_prices.csv"
    columns = seed.read_text().splitlines()[0].split(",")
    assert set(row) <= set(columns)
    seed.write_text(seed.read_text() + ",".join(row.get(column, "") for column in columns) + "\n")


def refusal(story: Story, project: Path, *arguments: str) -> str:
    """The messages of a dbt run that fails."""
    outcome = story.invoke(*arguments, project=project)
    assert not outcome.success
    return str([result.message for result in outcome.result.results])


def test_changed_prices_are_applied_to_the_requests_that_they_change(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    tokens: dict[str, Any] = {"input_tokens": 1_000_000, "cached_tokens": 0, "output_tokens": 0, "status": "success"}
    lines = [
        event("unknown", "2026-01-10T12:00:00", model=UNKNOWN, cost_usd=None, **tokens),
        event("before", "2026-01-11T23:59:59", model=MINI, cost_usd=None, **tokens),
        event("after", "2026-01-12T00:00:00", model=MINI, cost_usd=None, **tokens),
        event("reported", "2026-01-13T12:00:00", model=SONNET, cost_usd=0.5, **tokens),
    ]
    mart.run("run", mart.write("first.jsonl", *lines), *here)
    requests = "select event_id, cost_usd, batch_id from marts.llm_requests"
    cents = {"unknown": None, "before": Decimal("0.15"), "after": Decimal("0.15"), "reported": Decimal("0.5")}
    first = {event_id: batch for event_id, _, batch in mart.query(requests)}
    assert {event_id: cost for event_id, cost, _ in mart.query(requests)} == cents

    add_price(project, "acme", UNKNOWN, "", "2")
    change(
        project / "seeds/model_prices.csv",
        f"openai/{MINI[:11]} standard,openai,{MINI[:11]},standard,,,",
        f"openai/{MINI[:11]} standard,openai,{MINI[:11]},standard,,2026-01-12,",
    )
    add_price(project, "openai", MINI[:11], "2026-01-12", "3")
    assert "the prices in the folder seeds or cost_preference have changed" in refusal(empty, project, "run")
    for command in ("compile", "docs generate", "build --empty --exclude-resource-type unit_test"):
        empty.dbt(*command.split(), project=project)
    assert {event_id: cost for event_id, cost, _ in mart.query(requests)} == cents

    # a new event of the same run has the new price too
    late = event("late", "2026-01-14T12:00:00", model=UNKNOWN, cost_usd=None, **tokens)
    mart.run("load", mart.write("second.jsonl", late), *here)
    assert "stored requests get new costs" in mart.run("build", *here).output
    cents |= {"unknown": Decimal(2), "after": Decimal(3), "late": Decimal(2)}
    assert {event_id: cost for event_id, cost, _ in mart.query(requests)} == cents
    written = {event_id for event_id, _, batch in mart.query(requests) if batch != first.get(event_id)}
    assert written == {"unknown", "after", "late"}
    days = "select cast(usage_date as text) from marts.daily_costs where batch_id > {} order by 1"
    assert mart.query(days.format(first["before"])) == [("2026-01-10",), ("2026-01-12",), ("2026-01-14",)]
    assert "Nothing to build" in mart.run("build", *here).output
    contents = empty.contents()

    # a change of the preference too; a prompt of more than 200,000 tokens costs 6 USD per million
    for preference, cost in ("computed", Decimal(6)), ("reported", Decimal("0.5")):
        other = {"computed": "reported", "reported": "computed"}[preference]
        change(project / "dbt_project.yml", f"cost_preference: {other}", f"cost_preference: {preference}")
        empty.dbt("build", "--exclude-resource-type", "unit_test", project=project)
        assert dict(mart.query(requests.replace(", batch_id", ""))) == cents | {"reported": cost}
    assert empty.contents() == contents
    mart.run("build", "--full-refresh", *here)
    assert empty.contents() == contents


def override(project: Path, **values: str) -> None:
    """Adds a row to price_overrides. All other columns are empty."""
    seed = project / "seeds/price_overrides.csv"
    columns = seed.read_text().splitlines()[0].split(",")
    assert set(values) <= set(columns)
    seed.write_text(seed.read_text() + ",".join(values.get(column, "") for column in columns) + "\n")


def test_price_overrides_are_applied_to_the_requests_that_they_change(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    tokens: dict[str, Any] = {"input_tokens": 1_000_000, "cached_tokens": 0, "output_tokens": 0, "status": "success"}
    lines = [
        event("list", "2026-01-10T12:00:00", model=MINI, cost_usd=None, **tokens),
        event("team", "2026-01-11T12:00:00", model=MINI, cost_usd=None, team="search", **tokens),
        event("local", "2026-01-12T12:00:00", model=UNKNOWN, cost_usd=None, **tokens) | {"provider": "at-home"},
        event("other", "2026-01-13T12:00:00", model=SONNET, cost_usd=None, **tokens),
    ]
    mart.run("run", mart.write("first.jsonl", *lines), *here)
    costs = "select event_id, cost_usd from marts.llm_requests"
    first = {"list": Decimal("0.15"), "team": Decimal("0.15"), "local": None, "other": Decimal(6)}
    assert dict(mart.query(costs)) == first

    override(project, override_id="contract", provider="openai", model_pattern="%", discount_share="0.125")
    override(project, override_id="search", team="search", model_pattern="gpt-4o%", input_usd_per_million="0.1")
    override(project, override_id="home", provider="at-home", model_pattern="%", input_usd_per_million="0")
    assert "stored requests get new costs" in mart.run("build", *here).output
    # 0.15 x 0.875 = 0.13125
    changed = first | {"list": Decimal("0.13125"), "team": Decimal("0.1"), "local": Decimal(0)}
    assert dict(mart.query(costs)) == changed
    contents = empty.contents()
    assert "Nothing to build" in mart.run("build", *here).output
    mart.run("build", "--full-refresh", *here)
    assert empty.contents() == contents

    discounted = mart.run("explain", "list", *here).stdout
    assert "12.5% of the list price" in discounted and "0.13125" in discounted and "wrong" not in discounted
    answer = mart.json("explain", "list", *here)
    assert answer["override"]["override_id"] == "contract" and answer["price"]["price_id"].startswith(
        "openai/gpt-4o-mini"
    )
    own = mart.json("explain", "team", *here)
    assert own["price"] is None and own["override"]["team"] == "search" and own["problems"] == []
    assert mart.json("explain", "other", *here)["override"] is None

    # the row is changed, and the requests are not built again
    mart.query("update marts.price_overrides set discount_share = 0.2 where override_id = 'contract'")
    mart.query("delete from marts.price_overrides where override_id = 'search'")
    assert mart.json("explain", "list", *here, code=1)["problems"] == [
        "input_cost_usd is $0.13125, but the price row gives $0.12.",
        "computed_cost_usd is $0.13125, but the price row gives $0.12.",
    ]
    assert mart.json("explain", "team", *here, code=1)["problems"] == [
        "The row search is no longer in price_overrides."
    ]


WRONG_OVERRIDES: dict[str, dict[str, str]] = {
    "override_id is empty": {"override_id": "", "discount_share": "0.1"},
    "another row has the same override_id": {"override_id": "first", "discount_share": "0.1"},
    "model_pattern is empty": {"model_pattern": "", "discount_share": "0.1"},
    "valid_to is not after valid_from": {
        "valid_from": "2026-01-02",
        "valid_to": "2026-01-02",
        "discount_share": "0.1",
    },
    "prices and a discount_share": {"discount_share": "0.1", "output_usd_per_million": "1"},
    "neither an input price nor a discount_share": {"output_usd_per_million": "1"},
    "at most three decimal places": {"discount_share": "0.1234"},
    "not a number from 0 to 1": {"discount_share": "15"},
    "output_usd_per_million is negative": {"input_usd_per_million": "1", "output_usd_per_million": "-1"},
}


def test_wrong_price_overrides_fail_the_build(empty: Story, project: Path) -> None:
    override(project, override_id="first", model_pattern="gpt%", discount_share="1")
    empty.dbt("seed", "--select", "price_overrides", project=project)
    check = ("test", "--select", "assert_price_overrides_are_valid")
    empty.dbt(*check, project=project)
    seed = (project / "seeds/price_overrides.csv").read_text()
    for number, (problem, values) in enumerate(WRONG_OVERRIDES.items()):
        (project / "seeds/price_overrides.csv").write_text(seed)
        override(project, **{"override_id": f"row-{number}", "model_pattern": "%", **values})
        empty.dbt("seed", "--select", "price_overrides", project=project)
        compiled = empty.artifacts / "compiled/tokenmart/tests/assert_price_overrides_are_valid.sql"
        assert problem in str(empty.mart.query(compiled.read_text())), problem


def test_a_changed_time_zone_rebuilds_everything(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    mart.run("run", mart.write("first.jsonl", event("a", "2026-01-11T23:30:00")), *here)
    change(project / "dbt_project.yml", "reporting_time_zone: UTC", "reporting_time_zone: Asia/Kolkata")
    refused = refusal(empty, project, "run")
    assert "reporting_time_zone has changed from UTC to Asia/Kolkata" in refused and "--full-refresh" in refused
    assert "dates in the marts are those of UTC" in mart.run("build", *here).output
    assert mart.query("select cast(usage_date as text) from marts.daily_costs") == [("2026-01-12",)]
    # here all percentiles are exact
    change(project / "dbt_project.yml", "approximate_percentiles: false", "approximate_percentiles: true")
    mart.run("build", *here)


@pytest.mark.parametrize("missing", [["loads"], ["llm_requests"], ["llm_requests", "loads", "affected_dates"]])
def test_changed_settings_are_refused_if_tables_are_missing(empty: Story, project: Path, missing: list[str]) -> None:
    """They may have been dropped, or the first build may have ended before it created them."""
    mart, here = empty.mart, ("--project-dir", str(project))
    mart.run("run", mart.write("first.jsonl", event("a", "2026-01-11T12:00:00")), *here)
    for name in missing:
        mart.query(f"drop table marts.{name}")
    change(project / "dbt_project.yml", "reporting_time_zone: UTC", "reporting_time_zone: Asia/Kolkata")
    assert "reporting_time_zone has changed from UTC to Asia/Kolkata" in refusal(empty, project, "run")
    change(project / "dbt_project.yml", "reporting_time_zone: Asia/Kolkata", "reporting_time_zone: UTC")
    mart.run("build", *here)
    assert mart.query("select count(*) from marts.llm_requests") == [(1,)]


def test_unknown_variables_and_values_are_refused_before_anything_is_built(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    mart.run("load", mart.write("first.jsonl", event("a", "2026-01-11T12:00:00")), *here)
    file = project / "dbt_project.yml"
    change(file, "    retention_days: null", "    retention_dayz: 30")
    refused = mart.json("build", *here, code=1)["error"]
    assert "Tokenmart has no variable retention_dayz (did you mean retention_days?)." in refused and ">" not in refused
    change(file, "    retention_dayz: 30", "    1: 30")
    assert "Tokenmart has no variable 1." in mart.json("build", *here, code=1)["error"]
    change(file, "    1: 30", "    retention_days: null")
    change(file, "  tokenmart:\n    #", "  retention_days: 30\n  tokenmart:\n    #")
    assert "variables that dbt ignores: retention_days" in mart.json("build", *here, code=2)["error"]

    wrong = {
        "distribute": True,
        "cost_preference": "computd",
        "retention_days": "30",
        "late_data_days": -1,
        "columnstore_after_days": True,
        "reporting_time_zone": "Europe/Berln",
        "live_usage": "yes",
        "table_engine": None,
    }
    places = ["--project-dir", str(project), "--log-level", "none", "--vars", json.dumps(wrong)]
    refused = str(dbtRunner().invoke(["build", *places]).exception)
    for part in (
        "Tokenmart has no variable distribute (did you mean distributed?).",
        'cost_preference is "computd": write reported or computed.',
        'retention_days is "30": write a whole number of days from 1 to 36500, or null.',
        "late_data_days is -1: write a whole number of days from 0 to 36500, or null.",
        "columnstore_after_days is true: write a whole number",
        'reporting_time_zone is "Europe/Berln", which is not a time zone (did you mean Europe/Berlin?)',
        'live_usage is "yes": write true or false.',
        "table_engine is null",
    ):
        assert part in refused
    assert mart.query("select count(*) from information_schema.tables where table_schema = 'marts'") == [(0,)]


@pytest.mark.parametrize(
    "damage", ["drop table marts.build_settings", "update marts.build_settings set batch_id = batch_id + 1"]
)
def test_marts_without_the_settings_they_were_built_with_are_refused(story: Story, damage: str) -> None:
    """Marts of version 0.1 have no settings; after an interrupted full refresh, requests are older than settings."""
    story.mart.query(damage)
    for _ in range(2):
        output = story.mart.run("build", "--force", code=1).output
        assert "built by an earlier version" in output and "To rebuild everything" in output
        assert "Compilation Error" not in output and "in macro" not in output
    output = story.mart.run("doctor", code=1).output
    assert "built by an earlier version" in output and "tokenmart build --full-refresh" in output
    story.build("--full-refresh")
    story.mart.run("doctor")
    story.build()


def test_a_new_column_requires_a_rebuild_of_the_mart(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    mart.run("load", mart.write("first.jsonl", event("a", "2026-01-11T12:00:00", output_tokens=9)), *here)
    mart.run("build", *here)
    model = project / "models/marts/daily_costs_by_model"
    change(
        model.with_suffix(".sql"),
        "    max(",
        "    cast(max(attributed.output_tokens) as bigint) as longest_output,\n    max(",
    )
    change(
        model.with_suffix(".yml"),
        "      - name: batch_id",
        "      - name: longest_output\n        data_type: bigint\n      - name: batch_id",
    )
    mart.run("load", mart.write("second.jsonl", event("b", "2026-01-12T12:00:00", output_tokens=77)), *here)
    failed = mart.run("build", *here, code=1)
    assert "tokenmart build --full-refresh" in failed.output
    mart.run("build", "--full-refresh", *here)
    longest = "select cast(usage_date as text), longest_output from marts.daily_costs_by_model order by 1"
    assert mart.query(longest) == [("2026-01-11", 9), ("2026-01-12", 77)]


def test_a_load_that_is_listed_while_requests_are_written_is_processed_by_the_next_run(
    empty: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dbt.adapters.duckdb.connections import DuckDBConnectionManager

    mart = empty.mart
    mart.run("run", mart.write("first.jsonl", BASE[0]))
    mart.run("load", mart.write("second.jsonl", event("second", "2026-01-12T12:00:00")))
    add_query, added = DuckDBConnectionManager.add_query, []

    def add_query_and_load(self: Any, sql: str, *arguments: Any, **options: Any) -> Any:
        result = add_query(self, sql, *arguments, **options)
        if "create temporary table" in sql and "llm_requests__dbt_tmp" in sql:
            # without its result, which would keep the file open
            add_query(self, "insert into marts.loads values ('later', 1, 'processing')")
            added.append(sql)
        return result

    with monkeypatch.context() as patch:
        patch.setattr(DuckDBConnectionManager, "add_query", add_query_and_load)
        mart.run("build")
    assert len(added) == 1
    processed = "bool_or(load_status = 'processed')"
    found = mart.query(f"select load_id, {processed} from marts.loads group by load_id order by load_id")
    assert [is_processed for _, is_processed in found] == [True, True, False] and found[2][0] == "later"


def test_days_beyond_the_retention_are_deleted_and_do_not_return(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    first, last = event("old", "2026-01-11T12:00:00"), event("young", "2026-01-12T00:00:00")
    mart.run("load", mart.write("first.jsonl", first, last), *here)
    mart.run("build", *here)
    days = "select cast(usage_date as text) from marts.{} order by 1"
    assert mart.query(days.format("daily_costs")) == [("2026-01-11",), ("2026-01-12",)]

    kept = (dt.datetime.now(dt.UTC).date() - dt.date(2026, 1, 12)).days
    # nothing is deleted, so nothing has to be restored
    change(project / "dbt_project.yml", "retention_days: null", f"retention_days: {kept + 9}")
    mart.run("build", *here)
    change(project / "dbt_project.yml", f"retention_days: {kept + 9}", "retention_days: null")
    mart.run("build", *here)
    applied = "select retention_days from marts.build_settings order by batch_id"
    assert mart.query(applied) == [(None,), (kept + 9,), (None,)]

    change(project / "dbt_project.yml", "retention_days: null", f"retention_days: {kept}")
    mart.run("load", mart.write("second.jsonl", event("late", "2026-01-10T12:00:00")), *here)
    for again in ([], ["--full-refresh"]):
        mart.run("build", *again, *here)
        for name in ("llm_requests", "request_days", *DAILY):
            if name != "daily_errors_by_type":
                assert mart.query(days.format(name)) == [("2026-01-12",)], name
    assert mart.query("select count(*) from raw_usage.events") == [(3,)]

    # if it is raised or removed, landed events are restored, but only by a full refresh
    change(project / "dbt_project.yml", f"retention_days: {kept}", "retention_days: null")
    refused = mart.run("build", *here, code=1).output
    assert "retention_days has been raised or removed" in refused and "tokenmart build --full-refresh" in refused
    assert "tokenmart undo" not in refused
    # with --empty the settings are neither compared nor changed
    empty.dbt("run", "--empty", project=project)
    assert "retention_days has been raised or removed" in mart.run("build", *here, code=1).output
    mart.run("build", "--full-refresh", *here)
    assert mart.query(applied) == [(None,)]
    assert len(mart.query(days.format("daily_costs"))) == 3


def test_a_request_whose_fullest_snapshot_is_not_kept_is_not_kept(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    kept = (dt.datetime.now(dt.UTC).date() - dt.date(2026, 1, 12)).days
    first, second = (event(name, "2026-01-12T12:00:00", output_tokens=9) for name in ("first", "second"))
    fuller = {"timestamp": "2026-01-11T12:00:00Z", "output_tokens": 77}
    lines = [first, snapshot(first, **fuller), second, event("other", "2026-01-12T12:00:00")]
    mart.run("run", mart.write("first.jsonl", *lines), *here)
    dates = "select event_id, cast(usage_date as text) from marts.llm_requests order by 1"
    assert mart.query(dates) == [("first", "2026-01-11"), ("other", "2026-01-12"), ("second", "2026-01-12")]

    change(project / "dbt_project.yml", "retention_days: null", f"retention_days: {kept}")
    mart.run("load", mart.write("second.jsonl", snapshot(second, **fuller)), *here)
    for again in ([], ["--full-refresh"]):
        mart.run("build", *again, *here)
        assert mart.query(dates) == [("other", "2026-01-12")], again
        assert mart.query("select sum(requests) from marts.daily_costs") == [(1,)], again


def test_a_wrong_type_in_a_contract_is_refused(empty: Story, project: Path) -> None:
    mart, here = empty.mart, ("--project-dir", str(project))
    mart.run("load", mart.write("first.jsonl", BASE[0]), *here)
    change(
        project / "models/marts/daily_latency_by_model.yml",
        "- name: requests\n        data_type: \"{{ var('types').count[target.type] }}\"",
        "- name: requests\n        data_type: \"{{ var('types').text[target.type] }}\"",
    )
    result = mart.run("build", *here, code=1)
    assert "daily_latency_by_model: " in result.output and "contract" in result.output
    assert json.loads(mart.run("build", *here, "--json", code=1).stdout)["failures"]
