"""The wheel needs no checkout: installed into an empty environment, it loads and builds in any folder."""

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from conftest import PROJECT, as_lines, tokenledger
from tokenmart import __version__

PIP = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
PARTS = [
    "*.yml",
    "models/**/*",
    "macros/**/*",
    "analyses/*",
    "seeds/*.csv",
    "seeds/*.yml",
    "tests/*.sql",
    "tests/generic/*",
]
OTHERS = {"compose.yaml", "profiles.yml"}

Run = Callable[..., str]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", str(folder), str(PROJECT)]
    subprocess.run([*PIP, *build], check=True)
    return next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new environment with the wheel and its pinned dependencies, and nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    install = [*PIP, "--python", str(folder / "bin/python"), "install", "--no-compile", "--no-deps"]
    subprocess.run([*install, "--require-hashes", "--requirement", str(PROJECT / "constraints.txt")], check=True)
    subprocess.run([*install, str(wheel)], check=True)
    return folder


@pytest.fixture
def run(environment: Path, tmp_path: Path) -> Run:
    """Runs the installed command in the folder `elsewhere`, with its own home folder."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    settings = {"PATH": os.defpath, "HOME": str(tmp_path / "home"), "XDG_DATA_HOME": str(tmp_path / "data")}
    settings |= {"PYTHONPYCACHEPREFIX": str(environment.with_name("bytecode"))}

    def run(*arguments: str | Path) -> str:
        command = [environment / "bin/tokenmart", *arguments]
        done = subprocess.run(command, cwd=elsewhere, env=settings, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_wheel_has_the_whole_dbt_project(wheel: Path) -> None:
    expected = {path.relative_to(PROJECT).as_posix() for part in PARTS for path in PROJECT.glob(part) if path.is_file()}
    with zipfile.ZipFile(wheel) as archive:
        prefix = "tokenmart/project/"
        found = {name.removeprefix(prefix) for name in archive.namelist() if name.startswith(prefix)}
    assert found == expected - OTHERS and "models/marts/daily_costs.sql" in found


def test_the_version_is_the_same_everywhere(wheel: Path, run: Run) -> None:
    assert wheel.name == f"tokenmart-{__version__}-py3-none-any.whl"
    assert yaml.safe_load((PROJECT / "dbt_project.yml").read_text())["version"] == __version__
    assert run("--version") == f"tokenmart, version {__version__}\n"


def test_an_installed_wheel_runs_in_any_folder(environment: Path, run: Run, tmp_path: Path) -> None:
    installed = files(environment)
    log = tmp_path / "log.jsonl"
    log.write_bytes(as_lines(*(tokenledger(name, cost_usd=0.75) for name in ("a", "b"))))
    printed = run("run", log)
    database = tmp_path / "data/tokenmart/tokenmart.duckdb"
    assert "$1.50 for 2 requests on 1 day" in printed and f"The marts are in {database}." in printed
    # 2 x (1,000 x 2.5 + 100 x 10) / 1,000,000
    assert json.loads(run("whatif", "--to", "gpt-4o", "--json"))["what_if"]["cost_usd"] == "0.007000000000"
    assert "Nothing new" in run("run", log) and str(database) in run("status")
    # the installation may be read-only, and the current folder belongs to the user
    assert files(environment) == installed and not files(tmp_path / "elsewhere") and not files(tmp_path / "home")
    assert database.is_file() and (database.parent / "profiles.yml").is_file()
