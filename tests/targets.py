"""The warehouses of the tests, as targets of a profile: servers that are started here, or your own.

Set TOKENMART_TEST_POSTGRES=NAME (_CLICKHOUSE, _BIGQUERY, _SNOWFLAKE, _TIMESCALE) to use the target NAME of your profile
instead of a server that is started here. Its schemas tokenmart_test_raw and tokenmart_test_marts are dropped and
created again.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result
from dbt.cli.main import dbtRunner

from conftest import PROJECT
from tokenmart.cli import main
from tokenmart.dbt_runner import close_dbt_connections
from tokenmart.destinations import connect
from tokenmart.profile import Target, read_target
from warehouses import serve

SERVED = ("postgres", "clickhouse", "bigquery", "snowflake")
# emulators, which accept SQL that the real warehouses refuse
EMULATED = ("bigquery", "snowflake")


def own(name: str) -> str | None:
    """The name of your own target for this warehouse, if there is one."""
    return os.environ.get(f"TOKENMART_TEST_{name.upper()}")


# package registries have no TimescaleDB; make test-timescale adds your own
OTHERS = SERVED + (("timescale",) if own("timescale") else ())
RAW, MARTS = "tokenmart_test_raw", "tokenmart_test_marts"


@dataclass(frozen=True)
class Engine:
    """A warehouse without data; `folder` has its profile, and tests can put other files there."""

    name: str
    folder: Path

    @property
    def target(self) -> Target:
        """The target as the loader reads it."""
        with self.chosen():
            return read_target(PROJECT)

    @contextmanager
    def chosen(self) -> Iterator[None]:
        """Makes this warehouse Tokenmart's default target."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DBT_PROFILES_DIR", str(self.folder))
            patch.setenv("DBT_TARGET_PATH", str(self.folder))
            patch.setenv("TOKENMART_RAW_SCHEMA", RAW)
            patch.chdir(PROJECT)
            yield

    def run(self, *arguments: str | Path, code: int = 0) -> Result:
        """Runs `tokenmart` with these arguments and checks its exit code."""
        with self.chosen():
            result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exit_code == code, f"{self.name}, {arguments}: {result.output}\n{result.exception!r}"
        return result

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Returns the rows of a query, in which {raw} and {marts} stand for the schemas."""
        with self.chosen(), connect(self.target) as warehouse:
            return warehouse.query(sql.format(raw=RAW, marts=MARTS))

    def dbt(self, *arguments: str, artifacts: Path | None = None, on_event: Callable[[Any], None] | None = None) -> Any:
        """Runs dbt with this warehouse as its target, checks that it succeeds, and returns its result.

        `on_event` is called with each of dbt's events.

        Its artifacts and logs are written to `artifacts`, by default the warehouse's folder, where dbt finds what it
        has parsed before. It would parse the project again if it got other variables, or did not get the target.
        """
        artifacts = artifacts or self.folder
        places = {"--profiles-dir": self.folder, "--target-path": artifacts, "--log-path": artifacts}
        options = [str(part) for option in places.items() for part in option] + ["--target", self.target.name]
        with self.chosen():
            outcome = dbtRunner(callbacks=[on_event] if on_event else []).invoke(
                [*arguments, "--log-level", "none", *options]
            )
        close_dbt_connections()
        assert outcome.success, outcome.exception or [result.message for result in outcome.result.results]
        return outcome.result

    def clear(self) -> None:
        """Drops both schemas."""
        kind, cascade = ("database", "") if self.target.type == "clickhouse" else ("schema", " cascade")
        for schema in (RAW, MARTS):
            self.query(f"drop {kind} if exists {schema}{cascade}")
        if self.target.type == "clickhouse":
            # dbt caches the databases that exist, in this process
            from dbt.adapters.clickhouse import dbclient

            dbclient._ensured_databases.clear()


@contextmanager
def engine(name: str, folder: Path) -> Iterator[Engine]:
    """The warehouse of that name, cleared before and after."""
    folder.mkdir(parents=True, exist_ok=True)
    with _output(name, folder) as output:
        profile = {"target": name, "outputs": {name: {**output, schema_key(output): MARTS}}}
        path = folder / "profiles.yml"
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump({"tokenmart": profile}))
        made = Engine(name, folder)
        made.clear()
        try:
            yield made
        finally:
            made.clear()


@contextmanager
def _output(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The profile's output for a warehouse: your own, or that of a server that is started here."""
    if own(name):
        yield dict(read_target(PROJECT, own(name)).settings)
    elif name == "duckdb":
        yield {
            "type": "duckdb",
            "path": str(folder / "warehouse.duckdb"),
            "threads": 4,
            "settings": {"TimeZone": "UTC"},
        }
    else:
        with serve(name, folder / "server") as server:
            yield {"type": name, **_SETTINGS[name](server)}


def schema_key(output: dict[str, Any]) -> str:
    return "dataset" if output["type"] == "bigquery" else "schema"


def _clickhouse(server: dict[str, Any]) -> dict[str, Any]:
    server = dict(server)
    return {"driver": "http", "port": server.pop("http_port"), "secure": False, "threads": 4, **server}


_SETTINGS = {
    "postgres": lambda server: {"threads": 4, **server},
    "clickhouse": _clickhouse,
    "bigquery": lambda server: {"method": "oauth-secrets", "token": "none", "location": "US", "threads": 4, **server},
    "snowflake": lambda server: {"threads": 1, "connect_retries": 0, **server},
}


@contextmanager
def statements_sent(kind: str) -> Iterator[list[str]]:
    """Collects the SQL that this process sends to BigQuery or Snowflake, without statements that fail."""
    sent: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        if kind == "bigquery":
            yield from _sent_to_bigquery(patch, sent)
        else:
            yield from _sent_to_snowflake(patch, sent)


def _sent_to_bigquery(patch: pytest.MonkeyPatch, sent: list[str]) -> Iterator[list[str]]:
    from google.cloud.bigquery import Client

    jobs = []
    query, query_and_wait = Client.query, Client.query_and_wait

    def recorded_query(client: Any, query_: str = "", *args: Any, **options: Any) -> Any:
        sql = options.pop("query", query_)
        job = query(client, sql, *args, **options)
        jobs.append((sql, job))
        return job

    def recorded_query_and_wait(client: Any, sql: str, *args: Any, **options: Any) -> Any:
        rows = query_and_wait(client, sql, *args, **options)
        jobs.append((sql, None))
        return rows

    patch.setattr(Client, "query", recorded_query)
    patch.setattr(Client, "query_and_wait", recorded_query_and_wait)
    yield sent
    sent += [sql for sql, job in jobs if job is None or not job.error_result]


def _sent_to_snowflake(patch: pytest.MonkeyPatch, sent: list[str]) -> Iterator[list[str]]:
    from snowflake.connector.cursor import SnowflakeCursor

    execute = SnowflakeCursor.execute

    def recorded_execute(cursor: Any, command: str, *args: Any, **options: Any) -> Any:
        result = execute(cursor, command, *args, **options)
        # values that are sent separately
        sent.append(command.replace("%s", "null"))
        return result

    patch.setattr(SnowflakeCursor, "execute", recorded_execute)
    yield sent
