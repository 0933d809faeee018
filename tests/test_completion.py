"""Shells complete commands, targets and formats; a broken profile causes no error."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

HEAVY = ("dbt", "dbt_common", "dlt", "duckdb", "pyarrow", "jinja2")


def completed(line: str, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The completions for the last word of a line in bash, which print no errors and import no large package."""
    words = line.split(" ")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    monkeypatch.setenv("_TOKENMART_COMPLETE", "bash_complete")
    script = f"""
import atexit, sys
atexit.register(lambda: print(*[name for name in {HEAVY} if name in sys.modules], file=sys.stderr))
from tokenmart.cli import main
main(prog_name="tokenmart")
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stderr == "\n"
    return done.stdout.strip("\n").splitlines()


def test_commands_options_formats_and_files_are_completed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert completed("tokenmart r", monkeypatch) == ["plain,rejects", "plain,run"]
    assert completed("tokenmart d", monkeypatch) == ["plain,discover", "plain,doctor"]
    assert completed("tokenmart run --d", monkeypatch) == ["plain,--debug", "plain,--discovered"]
    assert completed("tokenmart run --fo", monkeypatch) == ["plain,--format", "plain,--follow-links"]
    assert completed("tokenmart sample --format token", monkeypatch) == ["plain,tokenledger", "plain,tokenmeter"]
    assert completed("tokenmart load --format cl", monkeypatch) == [
        "plain,claude_code",
        "plain,claude_code_telegram",
        "file,cl",
    ]
    assert completed("tokenmart load ~/lo", monkeypatch) == ["file,~/lo"]


def test_targets_are_completed_from_the_profile(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profiles = tmp_path / "own"
    profiles.mkdir()
    monkeypatch.setenv("DBT_PROFILES_DIR", str(profiles))
    outputs = {name: {"type": "{{ env_var('MISSING') }}"} for name in ("production", "preview", "test")}
    (profiles / "profiles.yml").write_text(yaml.safe_dump({"tokenmart": {"outputs": outputs}}))
    assert completed("tokenmart status --target pr", monkeypatch) == ["plain,preview", "plain,production"]
    assert len(completed(f"tokenmart load --project-dir {project} --target ", monkeypatch)) == 3
    for broken in ("tokenmart: [", "tokenmart: {outputs: 3}", "other: {}"):
        (profiles / "profiles.yml").write_text(broken)
        assert completed("tokenmart status --target ", monkeypatch) == []
    assert completed("tokenmart status --project-dir /nowhere --target ", monkeypatch) == []
    monkeypatch.delenv("DBT_PROFILES_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    (project / "profiles.example.yml").write_text("tokenmart: {outputs: {duckdb: {}}}")
    assert completed("tokenmart status --target ", monkeypatch) == ["plain,duckdb"]
    assert not (project / "profiles.yml").exists()
