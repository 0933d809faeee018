"""Fixtures and helpers for all tests: temporary DuckDB targets, and the command run in this process."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from dbt_common.clients.jinja import MacroFuzzEnvironment
from dbt_common.events.base_types import EventLevel
from dbt_common.events.event_manager import EventManager
from dbt_common.tests import enable_test_caching
from hypothesis import settings

from tokenmart.cli import main
from tokenmart.reader import Options, Reader
from tokenmart.settings import setting_names, variable_of

PROJECT = Path(__file__).parent.parent

# used as a plugin by some test modules
pytest.register_assert_rewrite("connections")

# the files that take longest; they start first, so that no process has to wait for the last one
LONGEST = (
    "test_conformance.py",
    "test_dbt_on_warehouses.py",
    "test_incremental.py",
    "test_changed_project.py",
    "test_package.py",
    "test_outages.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: ranks.get(item.path.name, len(ranks)))


# machines differ in speed
settings.register_profile("tokenmart", deadline=None)
settings.load_profile("tokenmart")

# ignore the settings of the person who runs the tests
for _variable in ("TOKENMART_TARGET", *map(variable_of, setting_names())):
    os.environ.pop(_variable, None)

# only a few tests read dbt's manifest.json, which takes dbt a second to write
os.environ["DBT_WRITE_JSON"] = "false"
# no test reads dbt's log, which takes a tenth of a build to write
os.environ["DBT_LOG_LEVEL_FILE"] = "none"


def _cache_templates() -> None:
    """Makes each process compile a template once: the tests build the same models with the same macros many times."""
    compiled: dict[Any, Any] = {}
    compile_source = MacroFuzzEnvironment.compile

    def compile_once(environment: Any, source: Any, *arguments: Any, **options: Any) -> Any:
        if not isinstance(source, str):
            return compile_source(environment, source, *arguments, **options)
        key = (type(environment), *sorted(environment.extensions), source, arguments, *options.items())
        if key not in compiled:
            compiled[key] = compile_source(environment, source, *arguments, **options)
        return compiled[key]

    MacroFuzzEnvironment.compile = compile_once  # type: ignore[method-assign]
    enable_test_caching()


def _without_debug_events() -> None:
    """Drops dbt's debug events, which no test reads, before they become messages: that takes a tenth of a build."""
    fire = EventManager.fire_event

    def fire_event(manager: Any, event: Any, level: Any = None, **options: Any) -> None:
        if (level or event.level_tag()) != EventLevel.DEBUG:
            fire(manager, event, level=level, **options)

    EventManager.fire_event = fire_event  # type: ignore[method-assign]


_cache_templates()
_without_debug_events()

# tests run in several processes, which must not share dbt's files
if worker := os.environ.get("PYTEST_XDIST_WORKER"):
    os.environ["DBT_TARGET_PATH"] = str(PROJECT / "target" / worker)
    os.environ["DBT_LOG_PATH"] = str(PROJECT / "logs" / worker)


@dataclass(frozen=True)
class Mart:
    """A DuckDB target in a temporary folder. Tests can put other files in `folder`."""

    folder: Path
    path: Path

    def run(self, *arguments: str | Path, code: int = 0, stdin: bytes | None = None) -> Result:
        """Runs `tokenmart` with these arguments and checks its exit code."""
        result = CliRunner().invoke(main, [str(argument) for argument in arguments], input=stdin)
        assert result.exit_code == code, f"{arguments}: {result.output}\n{result.exception!r}"
        return result

    def json(self, *arguments: str | Path, code: int = 0) -> Any:
        """Runs `tokenmart` with --json and returns the parsed output."""
        return json.loads(self.run(*arguments, "--json", code=code).stdout)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """Returns the rows of a query on the DuckDB file."""
        with duckdb.connect(str(self.path), config={"storage_compatibility_version": "v1.4.0"}) as connection:
            connection.execute("set timezone = 'UTC'")
            return connection.execute(sql).fetchall()

    def write(self, name: str, *lines: str | bytes | dict[str, Any]) -> Path:
        """Writes a file with these lines: text, bytes, or dictionaries that become JSON objects."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_lines(*lines))
        return path


def as_line(line: str | bytes | dict[str, Any]) -> bytes:
    """The bytes of a line, without its newline."""
    if isinstance(line, dict):
        line = json.dumps(line)
    return line.encode() if isinstance(line, str) else line


def as_lines(*lines: str | bytes | dict[str, Any]) -> bytes:
    """The bytes of lines, each with its newline."""
    return b"".join(as_line(line) + b"\n" for line in lines)


def zstd(content: bytes) -> bytes:
    """Compresses to one Zstandard frame."""
    return bytes(pa.compress(content, codec="zstd", asbytes=True))


def new_reader(**options: Any) -> Reader:
    """A Reader that does not report its progress."""
    return Reader(Options(**options), lambda _bytes, _lines: None)


@pytest.fixture(scope="session")
def profiles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example profile as profiles.yml."""
    folder = tmp_path_factory.mktemp("profiles")
    shutil.copy(PROJECT / "profiles.example.yml", folder / "profiles.yml")
    return folder


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the DuckDB file that commands use, and of what dbt parses, compiles and runs.

    Both have the same path in all tests: for a new one, dbt would parse the project again, which takes ten seconds.
    """
    return tmp_path_factory.mktemp("dbt")


def choose(artifacts: Path, profiles: Path, patch: pytest.MonkeyPatch) -> Path:
    """Makes commands and dbt use the DuckDB file in this folder; returns its path."""
    path = artifacts / "mart.duckdb"
    patch.setenv("DBT_PROFILES_DIR", str(profiles))
    patch.setenv("DBT_TARGET_PATH", str(artifacts))
    patch.setenv("DBT_LOG_PATH", str(artifacts / "logs"))
    patch.setenv("TOKENMART_DUCKDB_PATH", str(path))
    patch.chdir(PROJECT)
    return path


def copy_project(folder: Path) -> Path:
    """A copy of the dbt project that a test can change, in a new folder."""
    folder.mkdir()
    shutil.copy(PROJECT / "dbt_project.yml", folder)
    for name in ("macros", "models", "seeds", "tests"):
        shutil.copytree(PROJECT / name, folder / name)
    return folder


def share_parsed(artifacts: Path, folder: Path) -> None:
    """Copies what dbt has parsed to the artifacts of a copy of the project, where it parses only what differs."""
    folder.mkdir()
    if (parsed := artifacts / "partial_parse.msgpack").exists():
        shutil.copy(parsed, folder)


@pytest.fixture
def mart(tmp_path: Path, artifacts: Path, profiles: Path, monkeypatch: pytest.MonkeyPatch) -> Mart:
    """An empty target."""
    path = choose(artifacts, profiles, monkeypatch)
    for file in artifacts.glob("mart.duckdb*"):
        file.unlink()
    return Mart(tmp_path, path)


@pytest.fixture(scope="module")
def make_mart(
    tmp_path_factory: pytest.TempPathFactory, artifacts: Path, profiles: Path
) -> Iterator[Callable[[str], Mart]]:
    """Creates a Mart for all tests of a module. It is not selected; use `marts.run` for commands."""
    with pytest.MonkeyPatch.context() as patch:
        choose(artifacts, profiles, patch)

        def make(name: str) -> Mart:
            folder = tmp_path_factory.mktemp(name)
            return Mart(folder, folder / "mart.duckdb")

        yield make


@pytest.fixture
def project(mart: Mart, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with only dbt_project.yml, as the current folder: enough to load, but not to build."""
    folder = mart.folder / "project"
    folder.mkdir()
    shutil.copy(PROJECT / "dbt_project.yml", folder)
    monkeypatch.setenv("DBT_TARGET_PATH", str(folder / "target"))
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture(scope="session")
def base(artifacts: Path) -> tuple[Path, list[Any]]:
    """The path of a DuckDB file with BASE loaded and built, which the first test creates, and its loads."""
    return artifacts / "base.duckdb", []


@pytest.fixture
def empty(mart: Mart, artifacts: Path) -> Any:
    """An empty target (Story)."""
    from story import Story

    return Story(mart, artifacts)


@pytest.fixture
def story(empty: Any, base: tuple[Path, list[Any]]) -> Any:
    """A target (Story) with BASE loaded and built: 452 requests, on January 1 to 12 and 20."""
    from story import ALONE_ON_ITS_DAY, BASE, BEFORE_MIDNIGHT

    path, loads = base
    if not path.exists():
        empty.load(*BASE, BEFORE_MIDNIGHT, ALONE_ON_ITS_DAY)
        empty.build()
        shutil.copy(empty.mart.path, path)
        loads += empty.loads
    shutil.copy(path, empty.mart.path)
    empty.loads = list(loads)
    return empty


def tokenledger(event_id: str | None, timestamp: str = "2026-10-01T12:00:00Z", **fields: Any) -> dict[str, Any]:
    """A minimal TokenLedger event."""
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
