"""What goes wrong between here and a warehouse: said in words, nothing lost or doubled, mended by the next run."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import PROJECT, as_line, tokenledger
from dbt.cli.main import dbtRunner
from targets import OTHERS, RAW, Engine, engine, own, statements_sent

from loader import contract
from loader.build import _disconnect
from loader.profile import read_target

# the settings that are wrong, and what is said of each
WRONG: dict[str, list[tuple[str, dict[str, Any], str, str]]] = {
    "postgres": [
        ("down", {"port": 1}, "refused", "Is the server running"),
        ("unknown host", {"host": "nowhere.invalid"}, "could not translate host name", "Check the host"),
        ("wrong password", {"password": "wrong"}, "password authentication failed", "Check user and password"),
        ("missing database", {"dbname": "missing"}, '"missing" does not exist', "Create it"),
        *(
            # a login without rights is known of the server that is started here alone
            [("missing rights", {"user": "reader", "password": "reader"}, "permission denied", "Let an administrator")]
            if not own("postgres")
            else []
        ),
    ],
    "clickhouse": [
        ("down", {"port": 1}, "refused", "Is the server running"),
        ("native port down", {"native_port": 1}, "refused", "native_port"),
        ("wrong password", {"password": "wrong"}, "Authentication failed", "Check user and password"),
    ],
    "bigquery": [("down", {"api_endpoint": "http://127.0.0.1:1"}, "refused", "Is BigQuery reachable")],
    "snowflake": [
        ("down", {"port": 1}, "Could not connect", "Check the account"),
        ("wrong password", {"password": "wrong"}, "Incorrect username or password", "Check user and password"),
        ("missing database", {"database": "MISSING"}, "current database", "Check the database"),
    ],
}
CASES = [
    pytest.param(name, settings, said, hint, id=f"{name}, {what}")
    for name in OTHERS
    for what, settings, said, hint in WRONG.get(name, [])
    # there may be another way to log in to one's own
    if "password" not in settings or not own(name) or "password" in read_target(PROJECT, own(name)).settings
]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Engine]]:
    """All warehouses, started as they are first asked for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("loader.destinations.bigquery.CONNECT_SECONDS", 2)
        managers: list[Any] = []
        yield _Started(tmp_path_factory, managers)
        for manager in reversed(managers):
            manager.__exit__(None, None, None)


class _Started(dict[str, Engine]):
    def __init__(self, folders: pytest.TempPathFactory, managers: list[Any]) -> None:
        self.folders, self.managers = folders, managers

    def __missing__(self, name: str) -> Engine:
        manager = engine(name, self.folders.mktemp(name))
        self.managers.append(manager)
        self[name] = manager.__enter__()
        return self[name]


def with_settings(on: Engine, folder: Path, **changed: Any) -> Engine:
    """The same warehouse with other settings in its profile."""
    profile = yaml.safe_load((on.folder / "profiles.yml").read_text())
    profile["tokenmart"]["outputs"][on.name].update(changed)
    (folder / "profiles.yml").write_text(yaml.safe_dump(profile))
    return Engine(on.name, folder)


def write(folder: Path, count: int, name: str = "log.jsonl") -> Path:
    path = folder / name
    path.write_bytes(b"".join(as_line(tokenledger(f"{name} {number}")) + b"\n" for number in range(count)))
    return path


def landed(on: Engine) -> tuple[int, int]:
    """Rows of complete loads, and of others."""
    status = json.loads(on.run("status", "--json").stdout)
    return status["events"], status["stray"]


@pytest.mark.parametrize(("name", "settings", "said", "hint"), CASES)
def test_what_is_wrong_is_said_in_words(
    name: str, settings: dict[str, Any], said: str, hint: str, engines: dict[str, Engine], tmp_path: Path
) -> None:
    wrong = with_settings(engines[name], tmp_path, **settings)
    result = wrong.run("load", write(tmp_path, 3), code=1)
    lines = result.output.splitlines()
    assert lines[0].startswith("Failed: ") and said in lines[0]
    assert lines[1:] and hint in lines[1] and len(lines) == 2
    examined = wrong.run("doctor", code=1).output
    assert "wrong" in examined and hint in examined
    # and with the right settings it goes on
    right = engines[name]
    right.clear()
    right.run("load", tmp_path / "log.jsonl")
    assert landed(right) == (3, 0)


@pytest.mark.parametrize("name", OTHERS)
def test_a_load_that_breaks_off_leaves_nothing_and_the_next_one_completes(
    name: str, engines: dict[str, Engine], tmp_path: Path
) -> None:
    on = engines[name]
    on.clear()
    on.run("load", write(tmp_path, 5, "first.jsonl"))
    path = write(tmp_path, 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("loader.pipeline.ATTEMPTS", 1)
        # the rows are there, and what makes them count never comes
        patch.setattr("dlt.destinations.job_client_impl.SqlJobClientBase.complete_load", broken)
        result = on.run("load", path, code=1)
    assert "the line went dead" in result.output.splitlines()[0]
    assert landed(on) == (5, 0)
    on.run("load", path)
    assert landed(on) == (12, 0)
    assert on.query("select count(*), count(distinct event_id) from {raw}.events") == [(12, 12)]


def broken(*_: Any) -> None:
    raise ConnectionError("the line went dead")


def test_a_passing_fault_is_tried_again(engines: dict[str, Engine], tmp_path: Path) -> None:
    from dlt.destinations.impl.postgres.postgres import PostgresClient

    on = engines["postgres"]
    on.clear()
    on.run("load", write(tmp_path, 5, "first.jsonl"))
    complete, calls = PostgresClient.complete_load, []

    def cut_off(client: PostgresClient, load_id: str) -> None:
        calls.append(load_id)
        if len(calls) == 1:
            own = client.sql_client.native_connection.info.backend_pid
            on.query(f"select pg_terminate_backend({own})")
        complete(client, load_id)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PostgresClient, "complete_load", cut_off)
        on.run("load", write(tmp_path, 7))
    assert len(calls) == 2
    assert landed(on) == (12, 0)
    assert on.query("select count(*), count(distinct event_id) from {raw}.events") == [(12, 12)]


@pytest.mark.parametrize("name", OTHERS)
def test_raw_tables_of_an_older_version_get_the_new_columns(
    name: str, engines: dict[str, Engine], tmp_path: Path
) -> None:
    on = engines[name]
    on.clear()
    older = {table: dict(columns) for table, columns in contract.TABLES.items()}
    del older["events"]["energy_wh"], older["loaded_files"]["first_offset"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(contract, "TABLES", older)
        on.run("load", write(tmp_path, 3, "older.jsonl"))
    examined = on.run("doctor", code=1).output
    assert "table events: of an older version: it lacks energy_wh" in examined
    on.run("load", write(tmp_path, 4))
    on.run("doctor")
    on.run("build")
    assert landed(on) == (7, 0)
    assert on.query("select count(*), count(energy_wh) from {marts}.llm_requests") == [(7, 0)]


def test_a_mart_of_an_older_version_is_to_be_built_anew(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["postgres"]
    on.clear()
    on.run("run", write(tmp_path, 3, "older.jsonl"))
    on.query("alter table {marts}.daily_costs drop column reasoning_tokens")
    result = on.run("run", write(tmp_path, 4), code=1)
    assert "tokenmart build --full-refresh" in result.output
    on.run("build", "--full-refresh")
    assert on.query("select sum(requests) from {marts}.daily_costs") == [(7,)]


def test_two_targets_of_one_schema_are_told_of(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["postgres"]
    on.clear()
    profile = yaml.safe_load((on.folder / "profiles.yml").read_text())
    outputs = profile["tokenmart"]["outputs"]
    outputs["twin"] = {**outputs["postgres"], "threads": 1}
    outputs["other"] = {**outputs["postgres"], "schema": "another"}
    (tmp_path / "profiles.yml").write_text(yaml.safe_dump(profile))
    both = Engine("postgres", tmp_path)
    path = write(tmp_path, 3)
    assert "postgres and twin are one schema" in both.run("run", path).output
    assert "twin build into the same schema" in both.run("doctor", code=1).output
    # the second has what the first has landed: nothing is doubled
    assert "Nothing new" in both.run("run", path, "--target", "twin").output
    assert landed(on) == (3, 0)
    assert "one schema" not in both.run("load", path, "--target", "other").output


def test_a_bucket_is_for_those_that_take_files_from_one(engines: dict[str, Engine], tmp_path: Path) -> None:
    from loader.pipeline import open_pipeline

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENMART_STAGING", f"file://{tmp_path}/bucket")
        refused = engines["postgres"].run("load", write(tmp_path, 1), code=2)
        assert "takes files from no bucket" in refused.output.splitlines()[0]
        with engines["clickhouse"].chosen(), open_pipeline(engines["clickhouse"].target) as pipeline:
            assert pipeline.dlt_pipeline.staging.config_params["bucket_url"] == f"file://{tmp_path}/bucket"
        on = engines["clickhouse"]
        on.clear()
        for number in (1, 2):
            on.run("load", write(tmp_path, 3, f"{number}.jsonl"))
            # those of the load before have gone
            assert len(list((tmp_path / "bucket").rglob("events/*.parquet"))) == 1
    assert landed(on) == (6, 0)


@pytest.mark.parametrize(("name", "url"), [("bigquery", "s3://bucket/folder"), ("snowflake", "file:///bucket")])
def test_a_bucket_is_of_a_kind_that_the_warehouse_reads(
    name: str, url: str, engines: dict[str, Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENMART_STAGING", url)
    refused = engines[name].run("load", write(tmp_path, 1), code=2).output.splitlines()
    assert url in refused[0] and "takes files from" in refused[0] and "gs://" in refused[0]


def test_a_schema_in_which_nothing_may_be_made_is_said_in_words(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["postgres"]
    on.clear()
    on.query("drop role if exists tokenmart_test_guest")
    on.query("create role tokenmart_test_guest login password 'guest'")
    try:
        on.query("create schema {raw}")
        on.query("grant usage on schema {raw} to tokenmart_test_guest")
        guest = with_settings(on, tmp_path, user="tokenmart_test_guest", password="guest")
        lines = guest.run("load", write(tmp_path, 1), code=1).output.splitlines()
        assert "permission denied for schema" in lines[0] and "create on schema" in lines[1] and len(lines) == 2
    finally:
        on.clear()
        on.query("drop role tokenmart_test_guest")


def test_rows_expire_on_clickhouse_as_long_as_the_variable_says(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["clickhouse"]
    on.clear()
    on.run("run", write(tmp_path, 3))
    ask = "select engine_full from system.tables where database = '{marts}' and name = 'llm_requests'"
    # a table of that name elsewhere is another one
    on.query("drop database if exists other_{marts}")
    on.query("create database other_{marts}")
    elsewhere = "other_{marts}.llm_requests (day Date) engine = MergeTree order by day ttl day + interval 1 year"
    on.query(f"create table {elsewhere}")
    for days, expected in (
        (3650, "TTL toDate(occurred_at) + toIntervalDay(3652)"),
        (7300, "7302"),
        *[(None, None)] * 2,
    ):
        build_with(on, tmp_path, retention_days=days)
        ((said,),) = on.query(ask)
        assert expected in said if expected else "TTL" not in said
    on.query("drop database other_{marts}")


def test_days_expire_on_bigquery_as_long_as_the_variable_says(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["bigquery"]
    on.clear()
    on.run("run", write(tmp_path, 3))
    for days, expected in ((3650, "3652"), (7300, "7302"), (None, "null")):
        with statements_sent("bigquery") as sent:
            build_with(on, tmp_path, retention_days=days)
        # the emulator keeps no such option; the conformance test has Google's analyzer read the statement
        (said,) = [sql for sql in sent if "partition_expiration_days" in sql]
        assert re.search(rf"llm_requests`\s+set options \(partition_expiration_days = {expected}\)", said)


def test_clickhouse_finds_landed_rows_by_their_load(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["clickhouse"]
    on.clear()
    on.run("load", write(tmp_path, 3))
    keys = "select sorting_key, primary_key from system.tables where database = '{raw}' and name = 'events'"
    assert [{key.strip("()") for key in found} for found in on.query(keys)] == [{"_dlt_load_id"}]


def build_with(on: Engine, folder: Path, **variables: Any) -> None:
    """Builds the requests with these variables of the project."""
    places = ["--profiles-dir", str(on.folder), "--target-path", str(folder), "--log-path", str(folder)]
    arguments = ["--select", "llm_requests", "--log-level", "none", "--vars", json.dumps(variables)]
    with on.chosen():
        outcome = dbtRunner().invoke(["run", *arguments, *places])
    _disconnect()
    assert outcome.success, outcome.exception or [result.message for result in outcome.result.results]


def test_marts_are_not_built_where_events_are_landed(engines: dict[str, Engine], tmp_path: Path) -> None:
    mixed = with_settings(engines["postgres"], tmp_path, schema=RAW)
    result = mixed.run("load", write(tmp_path, 1), code=2)
    assert "where events are landed" in result.output.splitlines()[0]
