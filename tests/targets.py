"""The warehouses that tests run against, as targets of a profile: started here, or the reader's own.

With TOKENMART_TEST_POSTGRES=NAME (_CLICKHOUSE, _BIGQUERY, _SNOWFLAKE, _TIMESCALE) the target NAME of the usual profile
is used instead of a server that is started here. Its schemas tokenmart_test_raw and tokenmart_test_marts are dropped
and created again.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner, Result

from conftest import PROJECT
from tokenmart.cli import main
from tokenmart.destinations import connect
from tokenmart.profile import Target, read_target
from warehouses import serve

SERVED = ("postgres", "clickhouse", "bigquery", "snowflake")
# not the real ones: their leniency proves nothing
EMULATED = ("bigquery", "snowflake")


def own(name: str) -> str | None:
    """The reader's own target for this warehouse, if there is one."""
    return os.environ.get(f"TOKENMART_TEST_{name.upper()}")


# package registries have no TimescaleDB; make test-timescale adds the reader's own
OTHERS = SERVED + (("timescale",) if own("timescale") else ())
RAW, MARTS = "tokenmart_test_raw", "tokenmart_test_marts"


@dataclass(frozen=True)
class Engine:
    """A warehouse with nothing in it; `folder` has its profile, and room for files."""

    name: str
    folder: Path

    @property
    def target(self) -> Target:
        """The target as the loader reads it."""
        with self.chosen():
            return read_target(PROJECT)

    @contextmanager
    def chosen(self) -> Iterator[None]:
        """The environment in which Tokenmart's default target is this warehouse."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("DBT_PROFILES_DIR", str(self.folder))
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
        """Rows of a query, in which {raw} and {marts} are the schemas."""
        with self.chosen(), connect(self.target) as warehouse:
            return warehouse.query(sql.format(raw=RAW, marts=MARTS))

    def clear(self) -> None:
        """Drops both schemas."""
        kind, cascade = ("database", "") if self.target.type == "clickhouse" else ("schema", " cascade")
        for schema in (RAW, MARTS):
            self.query(f"drop {kind} if exists {schema}{cascade}")
        if self.target.type == "clickhouse":
            # dbt remembers in this process which databases it has found
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
    """The profile's output for a warehouse: the reader's own, or that of a server that is started."""
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
        with serve(name, folder / "server") as said:
            yield {"type": name, **_SETTINGS[name](said)}


def schema_key(output: dict[str, Any]) -> str:
    return "dataset" if output["type"] == "bigquery" else "schema"


def _clickhouse(said: dict[str, Any]) -> dict[str, Any]:
    said = dict(said)
    return {"driver": "http", "port": said.pop("http_port"), "secure": False, "threads": 4, **said}


_SETTINGS = {
    "postgres": lambda said: {"threads": 4, **said},
    "clickhouse": _clickhouse,
    "bigquery": lambda said: {"method": "oauth-secrets", "token": "none", "location": "US", "threads": 4, **said},
    "snowflake": lambda said: {"threads": 1, "connect_retries": 0, **said},
}


@contextmanager
def statements_sent(kind: str) -> Iterator[list[str]]:
    """Collects the SQL that this process sends to BigQuery or Snowflake, as far as it was carried out there."""
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
        done = execute(cursor, command, *args, **options)
        # values that are given apart
        sent.append(command.replace("%s", "null"))
        return done

    patch.setattr(SnowflakeCursor, "execute", recorded_execute)
    yield sent
