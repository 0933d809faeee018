"""The first run parses the dbt project in another process, while files are loaded."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from conftest import PROJECT, Mart
from tokenmart.dbt_runner import background_parsing
from tokenmart.profile import read_target


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The processes that are started."""
    processes: list[subprocess.Popen[bytes]] = []
    start = subprocess.Popen

    def recorded(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        processes.append(start(*arguments, **options))
        return processes[-1]

    monkeypatch.setattr(subprocess, "Popen", recorded)
    return processes


def test_a_project_is_parsed_once(
    mart: Mart, tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    target = read_target(PROJECT)
    for _ in range(2):
        with background_parsing(target) as wait:
            wait()
    assert [process.returncode for process in started] == [0]
    assert (tmp_path / "target" / "partial_parse.msgpack").exists()
    assert not mart.path.exists(), "parsing opens no database"


def test_a_failed_load_ends_the_process(
    mart: Mart, tmp_path: Path, started: list[subprocess.Popen[bytes]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DBT_TARGET_PATH", str(tmp_path / "target"))
    with pytest.raises(ValueError, match="no log"), background_parsing(read_target(PROJECT)):
        raise ValueError("no log")
    assert [process.returncode for process in started] == [-9]
