"""Shared by the tests: a project with its own DuckDB file, and the command run in this process."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import duckdb
import pytest
from click.testing import CliRunner, Result
from hypothesis import settings

from tokenmart.cli import main
from tokenmart.settings import setting_names, variable_of

PROJECT = Path(__file__).parent.parent

# a plugin of some test modules
pytest.register_assert_rewrite("connections")

# machines differ in speed
settings.register_profile("tokenmart", deadline=None)
settings.load_profile("tokenmart")

# settings of the person who runs the tests
for _variable in ("TOKENMART_TARGET", *map(variable_of, setting_names())):
    os.environ.pop(_variable, None)

# tests run in several processes, and dbt's files are not made for that
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["DBT_TARGET_PATH"] = str(PROJECT / "target" / worker)
    os.environ["DBT_LOG_PATH"] = str(PROJECT / "logs" / worker)


@dataclass(frozen=True)
class Mart:
    """A DuckDB target in a temporary folder. `folder` is free for the test's own files."""

    folder: Path
    path: Path

    def run(self, *arguments: str | Path, code: int = 0, stdin: bytes | None = None) -> Result:
        """Runs `tokenmart` with these arguments and checks its exit code."""
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)
        assert result.exit_code == code, f"{arguments}: {result.output}\n{result.exception!r}"
        return result

    def json(self, *arguments: str | Path, code: int = 0) -> Any:
        """Runs `tokenmart` with --json and returns what it printed."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Rows of a query on the DuckDB file."""
        with duckdb.connect(str(self.path), config={"storage_compatibility_version": "v1.4.0"}) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(sql).fetchall()

    def write(self, name: str, *lines: str | bytes | dict[str, Any]) -> Path:
        """Writes a file of lines, each a text, bytes or what is to become a JSON object."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"".join(as_line(line) + b"\n" for line in lines))
        return path


def as_line(line: str | bytes | dict[str, Any]) -> bytes:
    """A line's bytes, without its newline."""
    if isinstance(line, dict):
        line = json.dumps(line)
    return line.encode() if isinstance(line, str) else line


@pytest.fixture(scope="session")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example as its profiles.yml."""
    folder = tmp_path_factory.mktemp("profiles")
    shutil.copy(PROJECT / "profiles.example.yml", folder / "profiles.yml")
    return folder


@pytest.fixture
def new_mart(tmp_path: Path, profiles: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Mart]:
    """Makes a Mart with a name and selects it; each name is a different DuckDB file."""
    monkeypatch.setenv("DBT_PROFILES_DIR", str(profiles))
    monkeypatch.chdir(PROJECT)

    def make(name: str) -> Mart:
        path = tmp_path / f"{name}.duckdb"
        monkeypatch.setenv("TOKENMART_DUCKDB_PATH", str(path))
        return Mart(tmp_path, path)

    return make


@pytest.fixture
def mart(new_mart: Callable[[str], Mart]) -> Mart:
    """An empty target."""
    return new_mart("mart")


@pytest.fixture(scope="module")
def make_mart(tmp_path_factory: pytest.TempPathFactory, profiles: Path) -> Iterator[Callable[[str], Mart]]:
    """Makes a Mart that lasts as long as this module and turns to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DBT_PROFILES_DIR", str(profiles))
        patch.chdir(PROJECT)

        def make(name: str) -> Mart:
            folder = tmp_path_factory.mktemp(name)
            return Mart(folder, folder / "mart.duckdb")

        yield make


@pytest.fixture
def project(mart: Mart, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own project folder, with what loading needs, as the current folder."""
    folder = mart.folder / "project"
    folder.mkdir()
    shutil.copy(PROJECT / "dbt_project.yml", folder)
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where dbt writes what it compiles and sends."""
    return tmp_path_factory.mktemp("dbt")


@pytest.fixture(scope="module")
def base(artifacts: Path) -> tuple[Path, list[Any]]:
    """Where the first test keeps a DuckDB file with the base loaded and built, and what it was delivered."""
    return artifacts / "base.duckdb", []


@pytest.fixture
def empty(mart: Mart, artifacts: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An empty target (Story). Its path is the same in every test: for another one dbt would parse everything again."""
    monkeypatch.setenv("DBT_TARGET_PATH", str(artifacts))
    monkeypatch.setenv("DBT_LOG_PATH", str(artifacts / "logs"))
    path = artifacts / "mart.duckdb"
    path.unlink(missing_ok=True)
    monkeypatch.setenv("TOKENMART_DUCKDB_PATH", str(path))
    from story import Story

    return Story(replace(mart, path=path), artifacts)


@pytest.fixture
def story(empty: Any, base: tuple[Path, list[Any]]) -> Any:
    """A target (Story) with the base loaded and built: 452 requests from the 1st to the 12th, and on the 20th."""
    from story import ALONE_ON_ITS_DAY, BASE, BEFORE_MIDNIGHT

    path, loads = base
    if not path.exists():
        empty.deliver(*BASE, BEFORE_MIDNIGHT, ALONE_ON_ITS_DAY)
        empty.build()
        shutil.copy(empty.mart.path, path)
        loads += empty.loads
    shutil.copy(path, empty.mart.path)
    empty.loads = list(loads)
    return empty


def tokenledger(event_id: str | None, timestamp: str = "2026-10-01T12:00:00Z", **fields: Any) -> dict[str, Any]:
    """A TokenLedger event with the least that it needs."""
    event = {
        "event_id": event_id,
        "timestamp": timestamp,
        "provider": "openai",
        "model": "gpt-4o-mini-2024-07-18",
    }
    return {
        **event,
        "input_tokens": 1000,
        "output_tokens": 100,
        "cached_tokens": 0,
        "status": "success",
        **fields,
    }
