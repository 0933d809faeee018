"""What dbt does in addition to a build works on every warehouse too: parts of a build, clones, freshness, docs."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import yaml

from conftest import PROJECT, as_lines, tokenledger
from targets import EMULATED, MARTS, OTHERS, RAW, Engine, engine, schema_key, statements_sent
from tokenmart.destinations import connect
from tokenmart.report import summary

SERVERS = [name for name in OTHERS if name not in EMULATED]


@pytest.fixture(scope="module", params=OTHERS)
def on(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    """A warehouse with a few requests, loaded and built."""
    with engine(request.param, tmp_path_factory.mktemp(request.param)) as started:
        log = started.folder / "log.jsonl"
        log.write_bytes(as_lines(*(tokenledger(f"e{number}") for number in range(5))))
        if request.param in EMULATED:
            # emulators are slow, and their tests need no other models
            started.run("load", log)
            started.dbt("build", "--select", "+daily_costs", "--resource-types", "seed", "model")
        else:
            started.run("run", log)
        yield started


# this and other tests of real servers also pass on the emulators, but take minutes there
@pytest.mark.parametrize("on", SERVERS, indirect=True)
def test_selected_models_can_be_built_alone_and_empty(on: Engine) -> None:
    counts = "select count(*) from {marts}.llm_requests union all select count(*) from {marts}.daily_costs"
    before = sorted(int(row[0]) for row in on.query(counts))
    part = ["--exclude-resource-type", "unit_test", "--select", "+daily_costs"]
    empty = ["build", "--empty", *part[:2]]
    on.dbt(*empty)
    assert sorted(int(row[0]) for row in on.query(counts)) == before
    # create the tables empty, and then add the requests
    on.dbt(*empty, "--full-refresh")
    assert [int(row[0]) for row in on.query(counts)] == [0, 0]
    log = on.folder / "later.jsonl"
    log.write_bytes(as_lines(tokenledger("later", "2026-10-04T12:00:00Z")))
    on.run("load", log)
    ran = {result.node.name for result in on.dbt("build", *part).results}
    assert {"daily_costs", "llm_requests"} <= ran
    assert any(name.startswith("tokenmart_adds_up_by_day_daily_costs_") for name in ran)
    assert [name for name in ran if "users" in name or "hourly" in name] == []
    assert sorted(int(row[0]) for row in on.query(counts)) == [number + 1 for number in before]


# the emulators do not know `create table ... clone`
@pytest.mark.parametrize("on", SERVERS, indirect=True)
def test_a_clone_has_the_rows_of_its_original(on: Engine, tmp_path: Path) -> None:
    on.dbt("parse", "--write-json")
    output = {**on.target.settings, schema_key(on.target.settings): "tokenmart_test_clone"}
    profiles = tmp_path / "profiles"
    profiles.mkdir()
    (profiles / "profiles.yml").write_text(
        yaml.safe_dump({"tokenmart": {"target": on.target.name, "outputs": {on.target.name: output}}})
    )
    cloned = replace(on, folder=profiles)
    try:
        cloned.dbt("clone", "--state", str(on.folder))
        count = "select count(*) from {}.llm_requests"
        assert on.query(count.format("tokenmart_test_clone")) == on.query(count.format("{marts}"))
    finally:
        kind, cascade = ("database", "") if on.target.type == "clickhouse" else ("schema", " cascade")
        on.query(f"drop {kind} if exists tokenmart_test_clone{cascade}")


@pytest.mark.parametrize("on", SERVERS, indirect=True)
def test_requests_that_retention_deleted_are_restored_only_by_a_full_refresh(on: Engine, tmp_path: Path) -> None:
    selected = ["run", "--select", "+daily_costs"]
    requests = "select sum(requests) from {marts}.daily_costs"
    before = on.query(requests)
    on.dbt(*selected, "--vars", "retention_days: 1", artifacts=tmp_path)
    with on.chosen(), connect(on.target) as warehouse:
        totals = summary(warehouse, on.target).totals
    assert (totals["requests"] or 0, totals["days"], totals["first_date"], totals["last_date"]) == (0, 0, None, None)
    assert "retention_days has been raised or removed" in on.run("build", code=1).output
    on.dbt(*selected, "--full-refresh")
    on.dbt(*selected)
    assert on.query(requests) == before


@pytest.mark.parametrize("on", SERVERS, indirect=True)
def test_a_changed_preference_gives_stored_requests_new_costs(on: Engine, tmp_path: Path) -> None:
    log, selected = on.folder / "reported.jsonl", ["run", "--select", "+llm_requests"]
    reported = [tokenledger(f"reported-{cost}", "2026-10-21T12:00:00Z", cost_usd=cost) for cost in (0.5, 0.00021)]
    log.write_bytes(as_lines(*reported))
    on.run("load", log)
    costs = (
        "select cost_usd, cost_basis, batch_id from {marts}.llm_requests where event_id like 'reported-%' order by 1"
    )
    for preference, expected in (
        ("reported", [(Decimal("0.00021"), "reported"), (Decimal("0.5"), "reported")]),
        # 1,000 x 0.15 + 100 x 0.60 per million
        ("computed", [(Decimal("0.00021"), "computed")] * 2),
        ("reported", [(Decimal("0.00021"), "reported"), (Decimal("0.5"), "reported")]),
    ):
        if preference == "reported":
            on.dbt(*selected)
        else:
            on.dbt(*selected, "--vars", f"cost_preference: {preference}", artifacts=tmp_path)
        assert [(cost, basis) for cost, basis, _ in on.query(costs)] == expected
    batches = on.query("select distinct batch_id from {marts}.llm_requests where event_id like 'reported-%'")
    assert len(batches) == 1
    on.dbt(*selected)
    assert on.query("select distinct batch_id from {marts}.llm_requests where event_id like 'reported-%'") == batches


@pytest.fixture
def bi_tool(on: Engine) -> Iterator[dict[str, Any]]:
    """The connection of a role that was granted the right to read the existing marts once."""
    role = "tokenmart_test_reader"
    settings = {name: on.target.settings[name] for name in ("host", "port", "dbname")}
    own = {name: on.target.settings[name] for name in ("user", "password")}
    with psycopg2.connect(**settings, **own) as connection, connection.cursor() as cursor:
        cursor.execute(
            f"create role {role} login password 'reader'; grant usage on schema {MARTS} to {role};"
            f" grant select on all tables in schema {MARTS} to {role}"
        )
    yield {**settings, "user": role, "password": "reader"}
    with psycopg2.connect(**settings, **own) as connection, connection.cursor() as cursor:
        cursor.execute(f"drop owned by {role}; drop role {role}")


@pytest.mark.parametrize("on", ["postgres"], indirect=True)
def test_a_role_that_was_granted_access_once_can_read_the_marts_after_later_runs(
    on: Engine, bi_tool: dict[str, Any]
) -> None:
    for number in range(3):
        log = on.folder / f"granted-{number}.jsonl"
        log.write_bytes(as_lines(tokenledger(f"granted-{number}", f"2026-10-1{number}T12:00:00Z")))
        on.run("run", log)
    users = on.query("select requests from {marts}.users")
    # each run replaces views, and with them their grants
    views = {name for (name,) in on.query(f"select viewname from pg_views where schemaname = '{MARTS}'")}
    with psycopg2.connect(**bi_tool) as connection, connection.cursor() as cursor:
        marts = {path.stem for folder in ("marts", "summaries") for path in PROJECT.glob(f"models/{folder}/*.sql")}
        assert {"daily_costs", "users"} <= marts - views
        for mart in marts - views:
            cursor.execute(f"select count(*) from {MARTS}.{mart}")
            assert cursor.fetchone() != (0,) or mart == "daily_errors_by_type"
        cursor.execute(f"select requests from {MARTS}.users")
        assert cursor.fetchall() == users


@pytest.mark.parametrize("on", ["postgres"], indirect=True)
def test_concurrent_builds_with_plain_dbt_are_repaired_by_the_next_build(on: Engine, tmp_path: Path) -> None:
    """As on two machines where plain dbt takes no lock: at most one of the two builds fails."""
    places = ["--project-dir", str(PROJECT), "--profiles-dir", str(on.folder), "--log-level", "none"]
    places += ["--target", on.target.name]
    without_tests = [
        "--exclude-resource-type",
        "unit_test",
        "--exclude-resource-type",
        "test",
        "--select",
        "+daily_costs",
    ]
    command = [str(Path(sys.executable).with_name("dbt")), "build", *without_tests, *places]
    log, environment = on.folder / "shared.jsonl", {**os.environ, "TOKENMART_RAW_SCHEMA": RAW}
    folders = [tmp_path / f"machine-{machine}" for machine in range(2)]
    for folder in folders:
        folder.mkdir()
        shutil.copy(on.folder / "partial_parse.msgpack", folder)
    for number in range(2):
        lines = [tokenledger(f"shared-{i}", f"2026-11-0{1 + i % 4}T12:00:00Z", output_tokens=number) for i in range(99)]
        log.write_bytes(as_lines(*lines))
        on.run("load", log, "--again")
        builds = [
            subprocess.Popen(
                [*command, "--target-path", folder, "--log-path", folder], env=environment, stdout=subprocess.DEVNULL
            )
            for folder in folders
        ]
        ended = [build.wait() for build in builds]
        assert set(ended) <= {0, 1} and 0 in ended
    on.run("build")
    assert on.query(
        "select count(*), count(distinct event_id), min(output_tokens), max(output_tokens) from {marts}.llm_requests"
        " where event_id like 'shared-%'"
    ) == [(99, 99, 1, 1)]


@pytest.mark.parametrize("on", ["postgres"], indirect=True)
def test_a_run_marks_its_loads_even_if_another_run_has_marked_them_first(on: Engine) -> None:
    log = on.folder / "marked.jsonl"
    log.write_bytes(as_lines(tokenledger("marked", "2026-10-21T12:00:00Z")))
    on.run("load", log)
    ((load_id,),) = on.query("select max(load_id) from {raw}._dlt_loads")

    def mark_as_the_other_run(event: Any) -> None:
        if event.info.name == "LogStartLine" and "llm_requests" in event.data.description:
            on.query(
                "insert into {marts}.loads (load_id, batch_id, load_status)"
                f" select load_id, batch_id + 1, status from {{marts}}.loads, (values ('processing'), ('processed')) as"
                f" statuses (status) where load_id = '{load_id}'"
            )

    on.dbt("run", "--select", "+llm_requests", on_event=mark_as_the_other_run)
    statuses = f"select load_status, count(*) from {{marts}}.loads where load_id = '{load_id}' group by 1 order by 1"
    assert on.query(statuses) == [("processed", 2), ("processing", 2)]
    on.dbt("run", "--select", "+llm_requests")
    assert on.query(statuses)[-2:] == [("repaired", 1), ("repairing", 1)]


def test_requests_that_two_builds_have_doubled_are_single_after_the_next(on: Engine) -> None:
    log, selected = on.folder / "doubled.jsonl", ["run", "--select", "+daily_costs"]
    log.write_bytes(as_lines(*(tokenledger(f"doubled-{i}", "2026-10-20T12:00:00Z") for i in range(3))))
    on.run("load", log)
    on.dbt(*selected)
    ((load_id, batch),) = on.query("select load_id, batch_id from {marts}.loads order by batch_id desc limit 1")
    for status in ("processing", "processed"):
        mark = f"'{load_id}', {batch}, '{status}'"
        on.query(f"insert into {{marts}}.loads (load_id, batch_id, load_status) values ({mark})")
    for table in ("llm_requests", "request_days"):
        on.query(f"insert into {{marts}}.{table} select * from {{marts}}.{table} where batch_id = {batch}")
    counts = {
        "llm_requests": "select count(*), count(distinct event_id) from {marts}.llm_requests"
        " where event_id like 'doubled%'",
        "request_days": "select count(*), sum(requests) from {marts}.request_days where usage_date = '2026-10-20'",
        "daily_costs": "select count(*), sum(requests) from {marts}.daily_costs where usage_date = '2026-10-20'",
    }
    others = on.query("select count(*) from {marts}.llm_requests where event_id not like 'doubled%'")
    assert [tuple(map(int, on.query(query)[0])) for query in counts.values()] == [(6, 3), (2, 6), (1, 3)]
    on.dbt(*selected)
    assert [tuple(map(int, on.query(query)[0])) for query in counts.values()] == [(3, 3), (1, 3), (1, 3)]
    assert on.query("select count(*) from {marts}.llm_requests where event_id not like 'doubled%'") == others


def test_what_if_has_the_same_figures_on_every_warehouse(on: Engine) -> None:
    log, opus = on.folder / "whatif.jsonl", {"provider": "anthropic", "model": "claude-opus-4-5-20251101"}
    team = {"team": "it's \\ é"}
    log.write_bytes(
        as_lines(
            tokenledger("cached", "2026-10-20T18:00:00Z", cached_tokens=20_000, **opus, **team),
            tokenledger("long", "2026-10-20T12:00:00Z", input_tokens=300_000, cost_usd=0.5, **team),
            tokenledger("no tokens", "2026-10-20T12:00:00Z", input_tokens=None, output_tokens=None, **team),
            tokenledger("no price", "2026-10-20T12:00:00Z", provider="acme", model="acme-llm-1", **team),
        )
    )
    on.run("load", log)
    on.dbt("run", "--select", "+llm_requests")

    def cost(*options: str, compared: int = 2) -> str:
        found = json.loads(on.run("whatif", "--team", team["team"], *options, "--json").stdout)
        assert found["requests"]["chosen"] == 4 and found["requests"]["compared"] == compared
        # 1,000 x 5 + 20,000 x 0.5 + 100 x 25, per million, and the reported 0.5
        assert found["actual"]["cost_usd"] == "0.517500000000"
        assert (str(found["first_date"]), found["requests"]["without_tokens"]) == ("2026-10-20", 1)
        return str(found["what_if"]["cost_usd"])

    # 21,000 x 5 + 100 x 25, per million, instead of 0.0175
    assert cost("--without-cache") == "0.152560000000"
    # half of 0.0175, and 300,000 x 0.075 + 100 x 0.3, per million
    assert cost("--to-tier", "batch") == "0.031280000000"
    # at 18:00 1,000 x 0.135 + 20,000 x 0.035 + 100 x 0.55, and at noon 300,000 x 0.27 + 100 x 1.1, per million
    assert cost("--to", "deepseek-chat", "--at", "2026-02-28") == "0.082000000000"
    refused = on.run("whatif", "--team", team["team"] + "\\' or 1 = 1 --", "--without-cache", code=2).output
    assert "No request is of the team" in refused


def test_source_freshness_is_the_age_of_the_last_load(on: Engine) -> None:
    results = on.dbt("source", "freshness").results
    assert [(result.node.name, result.status, result.age < 600) for result in results] == [("events", "pass", True)]


def test_docs_list_every_column(on: Engine) -> None:
    # the emulator does not have the table statistics that the catalog needs
    on.dbt("docs", "generate", "--write-json", *(["--empty-catalog"] if on.target.type == "bigquery" else []))
    manifest = json.loads((on.folder / "manifest.json").read_text())
    catalog = json.loads((on.folder / "catalog.json").read_text())["nodes"]
    models = {name: node for name, node in manifest["nodes"].items() if node["resource_type"] == "model"}
    assert {node["name"] for node in models.values()} == {path.stem for path in PROJECT.glob("models/*/*.sql")}
    # the catalogs of the emulators differ from those of the real warehouses
    for name, node in models.items() if on.name not in EMULATED else ():
        found = {column.lower() for column in catalog[name]["columns"]}
        assert found == set(node["columns"]), name


@pytest.mark.parametrize("on", ["bigquery"], indirect=True)
def test_percentiles_may_be_approximate(on: Engine, tmp_path: Path) -> None:
    log = on.folder / "durations.jsonl"
    lines = [tokenledger(f"d{number}", "2026-10-02T12:00:00Z", duration_ms=number) for number in range(1, 1002)]
    log.write_bytes(as_lines(*lines))
    on.run("load", log)
    on.dbt("run", "--select", "+daily_latency")
    ask = "select duration_ms_p50, duration_ms_p95 from {marts}.daily_latency where usage_date = '2026-10-02'"
    assert on.query(ask) == [(501.0, 951.0)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENMART_APPROXIMATE_PERCENTILES", "true")
        refused = on.run("build", code=1).output
    assert "approximate_percentiles has changed from False to True" in refused
    with statements_sent("bigquery") as sent:
        on.dbt(
            "run",
            "--select",
            "daily_latency",
            "--full-refresh",
            "--vars",
            "approximate_percentiles: true",
            artifacts=tmp_path,
        )
    assert any("approx_quantiles" in sql for sql in sent)
    ((p50, p95),) = on.query(ask)
    assert abs(p50 - 501) <= 2 and abs(p95 - 951) <= 2


@pytest.mark.parametrize("on", ["postgres"], indirect=True)
def test_text_is_sorted_by_its_bytes_whatever_the_locale(on: Engine) -> None:
    # the server that is started here sorts by bytes anyway, so its values would prove nothing
    (result,) = on.dbt("compile", "--inline", "{{ binary_collation('name') }}").results
    assert result.node.compiled_code.strip() == '(name) collate "C"'


# not errors of the models: dbt-clickhouse fails on results without rows, percentiles differ in the last bit of a double
# (the conformance test allows for that), and a timestamp literal is read in the server's time zone
SKIPPED_UNIT_TESTS = {
    "clickhouse": [
        "test_budget_status_is_empty_before_the_first_request",
        "test_build_settings_adds_nothing_when_incremental",
        "test_daily_costs_rebuilds_nothing_where_no_day_has_changed",
        "test_usage_summary_is_empty_before_the_first_request",
        "test_daily_latency_interpolates_between_neighbors",
        "test_daily_latency_by_model_has_each_percentile_under_its_name",
        "test_usage_summary_has_each_percentile_under_its_name",
        "test_usage_summary_takes_percentiles_of_requests_not_of_days",
        "test_usage_summary_looks_at_no_future_day",
        "test_usage_summary_projects_nothing_from_a_day_that_is_not_over",
    ]
}


# ClickHouse takes ten seconds to plan each statement of these models; the conformance test compares their figures
SLOW_UNIT_TESTS = {"clickhouse": ["cost_anomalies", "llm_requests"]}


@pytest.mark.parametrize("on", ["duckdb", *SERVERS], indirect=True)
def test_unit_tests_pass(on: Engine) -> None:
    left_out = SKIPPED_UNIT_TESTS.get(on.name, [])
    slow = SLOW_UNIT_TESTS.get(on.name, [])
    excluded = [f"test_name:{name}" for name in left_out] + slow
    results = on.dbt("test", "--select", "test_type:unit", *(["--exclude", *excluded] if excluded else [])).results
    assert {result.status for result in results} == {"pass"}
    written = {
        path.stem.removesuffix("_unit_tests"): path.read_text().count("\n  - name: test_")
        for path in PROJECT.glob("models/*/*_unit_tests.yml")
    }
    assert len(results) + len(left_out) == sum(tests for model, tests in written.items() if model not in slow)
