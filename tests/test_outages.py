"""Failures of warehouses: clear errors, no lost or duplicate rows, and the next run recovers."""

import importlib
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import duckdb
import pytest
import yaml
from dlt.pipeline.pipeline import Pipeline

from conftest import PROJECT, as_lines, tokenledger
from targets import MARTS, OTHERS, RAW, Engine, engine, own, statements_sent
from tokenmart import contract, locks
from tokenmart.destinations import clickhouse, connect, lock, postgres
from tokenmart.errors import TokenmartError
from tokenmart.profile import read_target
from tokenmart.reader import Reader

# wrong settings, and the message for each
WRONG: dict[str, list[tuple[str, dict[str, Any], str, str]]] = {
    "postgres": [
        ("down", {"port": 1}, "refused", "Is the server running"),
        ("unknown host", {"host": "nowhere.invalid"}, "could not translate host name", "Check the host"),
        ("wrong password", {"password": "wrong"}, "password authentication failed", "Check user and password"),
        ("missing database", {"dbname": "missing"}, '"missing" does not exist', "Create the database"),
        *(
            # only the server that is started here is known to have a login without rights
            [("missing rights", {"user": "reader", "password": "reader"}, "permission denied", "Ask an administrator")]
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
    pytest.param(name, settings, message, hint, id=f"{name}, {what}")
    for name in OTHERS
    for what, settings, message, hint in WRONG.get(name, [])
    # your own target may log in without a password
    if "password" not in settings or not own(name) or "password" in read_target(PROJECT, own(name)).settings
]


@pytest.fixture(scope="module")
def engines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Engine]]:
    """All warehouses; each is started when it is first used."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tokenmart.destinations.bigquery.CONNECT_SECONDS", 2)
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
    """Writes a log with this number of requests."""
    path = folder / name
    path.write_bytes(as_lines(*(tokenledger(f"{name} {number}") for number in range(count))))
    return path


def landed(on: Engine) -> tuple[int, int]:
    """The numbers of rows of complete and of incomplete loads."""
    status = json.loads(on.run("status", "--json").stdout)
    return status["events"], status["orphaned"]


@pytest.mark.parametrize(("name", "settings", "message", "hint"), CASES)
def test_connection_problems_are_reported_with_a_hint(
    name: str, settings: dict[str, Any], message: str, hint: str, engines: dict[str, Engine], tmp_path: Path
) -> None:
    wrong = with_settings(engines[name], tmp_path, **settings)
    result = wrong.run("load", write(tmp_path, 3), "--again", code=1)
    lines = result.output.splitlines()
    assert lines[0].startswith("Failed: ") and message in lines[0]
    assert lines[1:] and hint in lines[1] and len(lines) == 2
    examined = wrong.run("doctor", code=1).output
    assert "\nerror  " in examined and hint in examined
    # with the right settings the load succeeds
    right = engines[name]
    right.clear()
    right.run("load", tmp_path / "log.jsonl")
    assert landed(right) == (3, 0)


@pytest.mark.parametrize("name", OTHERS)
def test_an_interrupted_load_has_no_effect_and_the_next_one_completes(
    name: str, engines: dict[str, Engine], tmp_path: Path
) -> None:
    on = engines[name]
    on.clear()
    on.run("load", write(tmp_path, 5, "first.jsonl"))
    path = write(tmp_path, 7)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tokenmart.pipeline.ATTEMPTS", 1)
        # the rows are there, but the load is never marked as complete
        patch.setattr("dlt.destinations.job_client_impl.SqlJobClientBase.complete_load", broken)
        result = on.run("load", path, code=1)
    assert "the link went down" in result.output.splitlines()[0]
    assert landed(on) == (5, 0)
    on.run("load", path)
    assert landed(on) == (12, 0)
    assert on.query("select count(*), count(distinct event_id) from {raw}.events") == [(12, 12)]


def broken(*_: Any) -> None:
    raise ConnectionError("the link went down")


def test_a_transient_failure_is_retried(engines: dict[str, Engine], tmp_path: Path) -> None:
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


@pytest.mark.parametrize("name", ["duckdb", *OTHERS])
def test_raw_tables_of_version_0_1_are_upgraded(name: str, engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines[name]
    on.clear()
    with pytest.MonkeyPatch.context() as patch:
        as_version_0_1(patch)
        on.run("load", write(tmp_path, 3, "older.jsonl"))
    with on.chosen(), connect(on.target, to_read=True) as warehouse:
        assert contract.missing(warehouse.tables(RAW))
    # doctor changes nothing
    output = on.run("doctor").output
    assert "loaded_files.is_sample" in output and "tokenmart status" in output
    with on.chosen(), connect(on.target, to_read=True) as warehouse:
        assert contract.missing(warehouse.tables(RAW))
    # status adds the columns, without any new line
    assert landed(on) == (3, 0)
    with on.chosen(), connect(on.target, to_read=True) as warehouse:
        assert not contract.missing(warehouse.tables(RAW))
    on.run("doctor")
    build_with(on, on.folder, "+llm_requests")
    assert on.query("select count(*), sum(input_tokens) from {marts}.llm_requests") == [(3, 3000)]
    on.run("load", write(tmp_path, 4))
    on.run("load", tmp_path / "older.jsonl")
    assert landed(on) == (7, 0)


# the raw tables of version 0.1
VERSION_0_1 = {
    "events": """event_id occurred_at duration_ms time_to_first_token_ms provider model requested_model region
        service_tier operation endpoint input_tokens cache_read_tokens cache_write_tokens cache_write_1h_tokens
        output_tokens reasoning_tokens token_convention is_running_total reported_cost_usd is_estimate user_id
        session_id organization_id team project cost_center app_name environment feature page component status
        error_type error_message request_id trace_id span_id parent_span_id request_preview response_preview water_ml
        energy_wh tags extra source_format source_file source_line source_offset loaded_at""",
    "rejected_lines": "reason line line_base64 source_format source_file source_line source_offset loaded_at",
    "loaded_files": """source_format source_file first_offset next_offset lines_read lines_landed lines_skipped
        lines_rejected loaded_at""",
}


def as_version_0_1(patch: pytest.MonkeyPatch) -> None:
    """Makes loads create the tables and columns of version 0.1."""
    columns = {table: names.split() for table, names in VERSION_0_1.items()}
    kinds = {table: {name: contract.TABLES[table][name] for name in names} for table, names in columns.items()}
    tables = Reader.tables

    def older_tables(reader: Reader, *arguments: Any) -> Iterator[tuple[str, Any]]:
        return (
            (name, rows.select([column for column in rows.column_names if column in columns[name]]))
            for name, rows in tables(reader, *arguments)
            if name in columns
        )

    patch.setattr(contract, "TABLES", kinds)
    patch.setattr(Reader, "tables", older_tables)


def test_status_reports_columns_that_a_login_may_not_add(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["postgres"]
    on.clear()
    with pytest.MonkeyPatch.context() as patch:
        as_version_0_1(patch)
        on.run("load", write(tmp_path, 3, "older.jsonl"))
    with a_login(on, tmp_path, "select on all tables in schema {raw}", "usage on schema {raw}") as guest:
        lines = guest.run("status", code=1).output.splitlines()
        assert "created by an older version" in lines[0] and "loaded_files.is_sample" in lines[0]
        assert "must be owner of" in lines[0] or "permission denied" in lines[0]
        assert "with a login that has permission to alter the tables" in lines[1] and len(lines) == 2


@contextmanager
def a_login(on: Engine, folder: Path, *grants: str, options: str = "") -> Iterator[Engine]:
    """PostgreSQL with a temporary login that has only these rights."""
    on.query("drop role if exists tokenmart_test_guest")
    on.query(f"create role tokenmart_test_guest login password 'guest' {options}")
    try:
        for grant in grants:
            on.query(f"grant {grant} to tokenmart_test_guest")
        yield with_settings(on, folder, user="tokenmart_test_guest", password="guest")
    finally:
        on.clear()
        on.query("drop owned by tokenmart_test_guest; drop role tokenmart_test_guest")


def test_doctor_finds_permissions_that_a_later_run_would_lack(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["postgres"]
    on.clear()
    ((database,),) = on.query("select current_database()")
    on.query(f"revoke temporary on database {database} from public")
    try:
        with a_login(on, tmp_path, f"create on database {database}") as guest:
            output = guest.run("doctor", code=1).output
            assert "permission denied to create temporary tables" in output and "grant temporary on database" in output
            on.query(f"grant temporary on database {database} to tokenmart_test_guest")
            output = guest.run("doctor").output
            assert "alter default privileges in schema tokenmart_test_marts grant select on tables" in output
            # a mart that another user created
            on.query("create table {marts}.users (a int)")
            output = guest.run("doctor", code=1).output
            assert "does not own users" in output and "owner to" in output
    finally:
        on.query(f"grant temporary on database {database} to public")


def test_advice_matches_the_messages_of_a_real_server(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["postgres"]
    with a_login(on, tmp_path, options="connection limit 0") as guest:
        lines = guest.run("status", code=1).output.splitlines()
        assert "too many connections for role" in lines[0] and "connection limit" in lines[1]
    missing = with_settings(on, tmp_path, dbname="missing")
    assert "createdb" in missing.run("status", code=1).output
    with on.chosen():
        with pytest.raises(TokenmartError) as cut, connect(on.target) as warehouse:
            ((own,),) = warehouse.query("select pg_backend_pid()")
            on.query(f"select pg_terminate_backend({own})")
            warehouse.query("select 1")
        assert "The connection was closed" in str(cut.value.hint)
        with pytest.raises(TokenmartError) as wrong, connect(on.target) as warehouse:
            warehouse.query("select 'database \"a\" does not exist'::int")
        assert wrong.value.hint is None
        with pytest.raises(TokenmartError) as late, connect(on.target) as warehouse:
            warehouse.query("set statement_timeout = 1; select pg_sleep(1)")
        assert "statement_timeout" in str(late.value.hint)


@pytest.mark.parametrize("name", ["clickhouse", "bigquery", "snowflake"])
def test_only_one_job_at_a_time_holds_the_lease(name: str, engines: dict[str, Engine]) -> None:
    on = engines[name]
    on.clear()
    with pytest.MonkeyPatch.context() as patch, on.chosen():
        # long enough for a slow machine to renew the lease
        patch.setattr(locks, "LEASE_SECONDS", 8.0)
        patch.setattr(locks, "LEASE_POLL_SECONDS", 0.1)
        waiting, taken, done = threading.Event(), threading.Event(), threading.Event()
        messages: list[str] = []

        def wait_for_it() -> None:
            with lock(on.target, "load", lambda who: (messages.append(who), waiting.set())):
                taken.set()
                done.wait(60)

        second = threading.Thread(target=wait_for_it)
        with lock(on.target, "load", messages.append) as check:
            # another lock, which nobody waits for
            with lock(on.target, "build", messages.append):
                assert not messages
            second.start()
            assert waiting.wait(60)
            # longer than the lease is valid without being renewed
            assert not taken.wait(9)
            check()
        assert taken.wait(60)
        assert len(messages) == 1 and f"process {os.getpid()}, " in messages[0] and " UTC or later" in messages[0]
        done.set()
        second.join()
        # another job takes over the lease of a holder that seems dead, but is not
        update = importlib.import_module(f"tokenmart.destinations.{name}").LEASE.update
        other = update.format(table=f"{RAW}.load_lease", values="holder = 'another'", condition="holder <> ''")
        with lock(on.target, "load", messages.append) as check:
            on.query(other)
            ((valid_until,),) = on.query("select expires_at from {raw}.load_lease")
            with pytest.raises(TokenmartError, match="was lost"):
                check()
        # the other job is killed; a new one waits until its lease has expired
        with lock(on.target, "load", messages.append):
            ((holder, until),) = on.query("select holder, expires_at from {raw}.load_lease")
        assert f"process {os.getpid()}" in holder and until > valid_until
        assert len(messages) == 2 and "another, until" in messages[1]


def test_a_lease_is_checked_and_released_even_if_the_login_that_took_it_has_expired() -> None:
    expired: set[int] = set()
    logins = itertools.count()

    @contextmanager
    def session() -> Iterator[SimpleNamespace]:
        login = next(logins)

        def query(sql: str) -> list[tuple[Any, ...]]:
            assert login not in expired, "the token has expired"
            return list(warehouse.cursor().execute(sql).fetchall())

        yield SimpleNamespace(
            query=query, tables=lambda _: {}, create_schema=lambda schema: query(f"create schema {schema}")
        )

    with duckdb.connect() as warehouse:
        sql = locks.LeaseSQL(text="varchar", clock="select epoch_ms(now())")
        with locks.lease(session, sql, RAW, "load_lease", "load", print) as check:
            expired.update(range(next(logins)))
            check()
            assert warehouse.execute(f"select 1 from {RAW}.load_lease where expires_at > ''").fetchall()
        assert not warehouse.execute(f"select 1 from {RAW}.load_lease where expires_at > ''").fetchall()


def test_doctor_finds_a_pooler_that_changes_sessions(engines: dict[str, Engine]) -> None:
    on, query = engines["postgres"], postgres._query

    def pooled(connection: Any) -> Any:
        return lambda sql: [(1,)] if "pg_backend_pid" in sql else query(connection)(sql)

    on.clear()
    on.run("doctor")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(postgres, "_query", pooled)
        output = on.run("doctor", code=1).output
    assert "locks do not hold" in output and "pool_mode = session" in output


def test_doctor_tries_the_update_that_takes_a_lease(engines: dict[str, Engine]) -> None:
    on = engines["clickhouse"]
    on.clear()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clickhouse, "LEASE", replace(clickhouse.LEASE, update="refused: {table} {values} {condition}"))
        output = on.run("doctor", code=1).output
    assert "refused" in output
    for schema in (RAW, MARTS):
        assert on.query(f"select name from system.tables where database = '{schema}' and name like '%doctor%'") == []
    on.run("doctor")


def test_concurrent_loads_of_two_machines_and_targets_land_every_line_once(
    engines: dict[str, Engine], tmp_path: Path
) -> None:
    on = engines["postgres"]
    on.clear()
    profile = yaml.safe_load((on.folder / "profiles.yml").read_text())
    outputs = profile["tokenmart"]["outputs"]
    outputs["other"] = {**outputs["postgres"], "schema": "another"}
    (tmp_path / "profiles.yml").write_text(yaml.safe_dump(profile))
    path = write(tmp_path, 500)
    machines = []
    with Engine("postgres", tmp_path).chosen(), lock(on.target, "load", print):
        for target in outputs:
            folder = tmp_path / f"machine of {target}"
            folder.mkdir()
            shutil.copy(PROJECT / "dbt_project.yml", folder)
            command = [Path(sys.executable).with_name("tokenmart"), "load", path, "--target", target, "--json"]
            machines.append(
                subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            )
        for machine in machines:
            assert machine.stderr
            message = machine.stderr.readline()
            assert "(load by connection " in message and "tokenmart" in message
    landed_by = [json.loads(machine.communicate(timeout=120)[0])["files"][0]["landed"] for machine in machines]
    assert sorted(landed_by) == [0, 500]
    assert on.query("select count(*), count(distinct event_id) from {raw}.events") == [(500, 500)]


def test_a_load_that_lost_its_lock_does_not_count(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["postgres"]
    on.clear()
    on.run("load", write(tmp_path, 5, "first.jsonl"))
    path, load = write(tmp_path, 7), Pipeline.load

    def without_lock(pipeline: Pipeline, *arguments: Any, **options: Any) -> Any:
        on.query("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")
        return load(pipeline, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tokenmart.pipeline.ATTEMPTS", 1)
        patch.setattr(Pipeline, "load", without_lock)
        result = on.run("load", path, code=1)
    assert "was lost" in result.output.splitlines()[0]
    assert landed(on) == (5, 0)
    on.run("load", path)
    assert landed(on) == (12, 0)


def test_a_load_completes_the_table_layout_of_an_interrupted_load(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["postgres"]
    on.clear()
    indexes = (
        "select indexdef from pg_indexes where schemaname = '{raw}' and tablename in ('events', 'tool_calls')"
        " order by tablename, indexdef"
    )
    with pytest.MonkeyPatch.context() as patch:
        # as if the load had been killed before it creates the indexes
        patch.setattr("tokenmart.destinations.postgres._apply_layout", broken)
        on.run("load", write(tmp_path, 3), code=1)
    assert not on.query(indexes)
    for count in (3, 4):
        on.run("load", write(tmp_path, count))
        found = [text.partition(" USING ")[2] for (text,) in on.query(indexes)]
        assert found == ["btree (_dlt_load_id)", "brin (occurred_at)", "btree (_dlt_load_id)"]


def test_a_mart_of_an_older_version_must_be_rebuilt(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["postgres"]
    on.clear()
    on.run("run", write(tmp_path, 3, "older.jsonl"))
    # views read the column
    on.query("alter table {marts}.daily_costs drop column reasoning_tokens cascade")
    result = on.run("run", write(tmp_path, 4), code=1)
    assert "tokenmart build --full-refresh" in result.output
    on.run("build", "--full-refresh")
    assert on.query("select sum(requests) from {marts}.daily_costs") == [(7,)]


def test_two_targets_with_the_same_schema_are_reported(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["postgres"]
    on.clear()
    profile = yaml.safe_load((on.folder / "profiles.yml").read_text())
    outputs = profile["tokenmart"]["outputs"]
    outputs["twin"] = {**outputs["postgres"], "threads": 1}
    outputs["other"] = {**outputs["postgres"], "schema": "another"}
    (tmp_path / "profiles.yml").write_text(yaml.safe_dump(profile))
    both = Engine("postgres", tmp_path)
    path = write(tmp_path, 3)
    assert "postgres and twin build into the same schema" in both.run("run", path).output
    assert "twin build into the same schema" in both.run("doctor", code=1).output
    # the second target has the events of the first: nothing is duplicated
    assert "Nothing new" in both.run("run", path, "--target", "twin").output
    assert landed(on) == (3, 0)
    assert "the same schema" not in both.run("load", path, "--target", "other").output


def test_a_bucket_is_used_only_by_warehouses_that_read_files_from_one(
    engines: dict[str, Engine], tmp_path: Path
) -> None:
    from tokenmart.pipeline import open_pipeline

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENMART_STAGING", f"file://{tmp_path}/bucket")
        refused = engines["postgres"].run("load", write(tmp_path, 1), code=2)
        assert "reads files from no bucket" in refused.output.splitlines()[0]
        with engines["clickhouse"].chosen(), open_pipeline(engines["clickhouse"].target) as pipeline:
            assert pipeline.dlt_pipeline.staging.config_params["bucket_url"] == f"file://{tmp_path}/bucket"
        on = engines["clickhouse"]
        on.clear()
        for number in (1, 2):
            on.run("load", write(tmp_path, 3, f"{number}.jsonl"))
            # the files of the previous load were deleted
            assert len(list((tmp_path / "bucket").rglob("events/*.parquet"))) == 1
    assert landed(on) == (6, 0)


@pytest.mark.parametrize(("name", "url"), [("bigquery", "s3://bucket/folder"), ("snowflake", "file:///bucket")])
def test_a_bucket_that_the_warehouse_cannot_read_is_refused(
    name: str, url: str, engines: dict[str, Engine], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOKENMART_STAGING", url)
    refused = engines[name].run("load", write(tmp_path, 1), code=2).output.splitlines()
    assert url in refused[0] and "reads files from" in refused[0] and "gs://" in refused[0]


def test_a_schema_without_the_right_to_create_tables_is_reported_with_a_hint(
    engines: dict[str, Engine], tmp_path: Path
) -> None:
    on = engines["postgres"]
    on.clear()
    on.query("create schema {raw}")
    with a_login(on, tmp_path, "usage on schema {raw}") as guest:
        lines = guest.run("load", write(tmp_path, 1), code=1).output.splitlines()
        assert "permission denied for schema" in lines[0] and "create on schema" in lines[1] and len(lines) == 2


def test_retention_days_sets_the_ttl_on_clickhouse(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["clickhouse"]
    on.clear()
    on.run("load", write(tmp_path, 3))
    build_with(on, on.folder, "+llm_requests")
    ask = "select engine_full from system.tables where database = '{marts}' and name = 'llm_requests'"
    # a table with the same name in another database must not be used
    on.query("drop database if exists other_{marts}")
    on.query("create database other_{marts}")
    elsewhere = "other_{marts}.llm_requests (day Date) engine = MergeTree order by day ttl day + interval 1 year"
    on.query(f"create table {elsewhere}")
    for days, expected in ((3650, "TTL toDate(occurred_at) + toIntervalDay(3652)"), (7300, "7302"), (None, None)):
        build_with(on, tmp_path, retention_days=days)
        ((engine_full,),) = on.query(ask)
        assert expected in engine_full if expected else "TTL" not in engine_full
    on.query("drop database other_{marts}")


def test_retention_days_sets_the_partition_expiration_on_bigquery(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["bigquery"]
    on.clear()
    on.run("load", write(tmp_path, 3))
    for days, expected, selected in ((3650, "3652", "+llm_requests"), (None, "null", "llm_requests")):
        with statements_sent("bigquery") as sent:
            build_with(on, tmp_path, selected, retention_days=days)
        # the emulator ignores this option; the conformance test checks the statement with Google's analyzer
        (statement,) = [sql for sql in sent if "partition_expiration_days" in sql]
        assert re.search(rf"llm_requests`\s+set options \(partition_expiration_days = {expected}\)", statement)


def test_clickhouse_sorts_events_by_load(engines: dict[str, Engine], tmp_path: Path) -> None:
    on = engines["clickhouse"]
    on.clear()
    on.run("load", write(tmp_path, 3))
    keys = "select sorting_key, primary_key from system.tables where database = '{raw}' and name = 'events'"
    assert [{key.strip("()") for key in found} for found in on.query(keys)] == [{"_dlt_load_id"}]


def build_with(on: Engine, folder: Path, selected: str = "llm_requests", **variables: Any) -> None:
    """Builds the selected models with these variables of the project."""
    no_tests = ["--exclude-resource-type", "test", "--exclude-resource-type", "unit_test"]
    on.dbt("build", "--select", selected, *no_tests, "--vars", json.dumps(variables), artifacts=folder)


def test_marts_cannot_be_built_in_the_schema_of_the_raw_events(engines: dict[str, Engine], tmp_path: Path) -> None:
    mixed = with_settings(engines["postgres"], tmp_path, schema=RAW)
    result = mixed.run("load", write(tmp_path, 1), code=2)
    assert "the schema of the raw events" in result.output.splitlines()[0]
