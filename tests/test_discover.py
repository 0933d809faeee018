"""`discover` lists the logs of LLM tools without opening them, and --discovered loads what it lists."""

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import Mart, tokenledger
from tokenmart.discover import abbreviated, discover

VARIABLES = ("CLAUDE_CONFIG_DIR", "CODEX_HOME", "GEMINI_CLI_HOME", "XDG_DATA_HOME", "OPENCODE_DB")
CLAUDE, OPENCODE = ".claude/projects", ".local/share/opencode"
SEARCHED = [
    ("Claude Code", CLAUDE),
    ("Claude Code", ".config/claude/projects"),
    ("Codex", ".codex/sessions"),
    ("Codex", ".codex/archived_sessions"),
    ("Gemini CLI", ".gemini/tmp/*/chats"),
    ("opencode", f"{OPENCODE}/opencode*.db"),
    ("opencode", f"{OPENCODE}/storage/message"),
]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    for variable in VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    return folder


def put(path: Path, *lines: dict[str, Any], modified: str = "2026-03-01T12:00:00") -> Path:
    """Writes a log with this modification time in UTC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    at = dt.datetime.fromisoformat(modified).replace(tzinfo=dt.UTC).timestamp()
    os.utime(path, (at, at))
    return path


def found() -> dict[str, int]:
    """The number of files in each folder that exists."""
    return {location.folder: location.files for location in discover() if location.is_found}


def arguments(command: str) -> list[str]:
    """The arguments of a command as bash splits and expands them."""
    done = subprocess.run(["bash", "-c", f"printf '%s\\n' {command}"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


# ---------------------------------------------------------------- the list


def test_the_files_of_a_tool_are_counted_with_their_size_and_span(home: Path, mart: Mart) -> None:
    first = put(home / CLAUDE / "-work/a.jsonl", {"a": 1}, modified="2026-01-02T03:04:05")
    last = put(home / CLAUDE / "-work/b/subagents/c.jsonl", {"a": 1}, {"b": 2}, modified="2026-03-04T05:06:07")
    put(home / CLAUDE / "-work/memory.md", modified="2020-01-01T00:00:00")
    location = mart.json("discover")[0]
    assert location == {
        "tool": "Claude Code",
        "folder": str(home / CLAUDE),
        "is_found": True,
        "files": 2,
        "bytes": first.stat().st_size + last.stat().st_size,
        "first_modified_at": "2026-01-02T03:04:05+00:00",
        "last_modified_at": "2026-03-04T05:06:07+00:00",
        "problems": [],
        "format": "claude_code",
        "paths": [str(home / CLAUDE)],
        "command": "tokenmart run ~/.claude/projects",
    }
    lines = mart.run("discover").output.splitlines()
    assert lines[1].split()[:6] == ["tool", "folder", "files", "size", "oldest", "newest"]
    cells = ["Claude", "Code", "~/.claude/projects", "2", "27", "bytes", "2026-01-02", "2026-03-04"]
    assert next(line for line in lines if "~/.claude/projects" in line).split()[:8] == cells
    assert any("modification dates of files" in line and "No file was opened" in line for line in lines)
    assert "  tokenmart run ~/.claude/projects" in lines


def test_tools_that_are_not_found_are_listed_with_the_folders_that_were_searched(home: Path, mart: Mart) -> None:
    locations = mart.json("discover")
    assert [(row["tool"], row["folder"]) for row in locations] == [(tool, str(home / name)) for tool, name in SEARCHED]
    assert {(row["is_found"], row["files"], row["command"]) for row in locations} == {(False, 0, None)}
    output = mart.run("discover").output
    assert output.count("not found") == len(SEARCHED) and "tokenmart run" not in output


def test_every_tool_is_found_in_its_default_folder(home: Path) -> None:
    put(home / ".config/claude/projects/-work/a.jsonl")
    put(home / ".codex/sessions/2026/03/01/rollout-1.jsonl")
    put(home / ".codex/archived_sessions/rollout-2.jsonl")
    put(home / ".gemini/tmp/project/chats/session-1.jsonl")
    put(home / ".gemini/tmp/project/chats/s1/subagent.jsonl")
    put(home / ".gemini/tmp/other/chats/session-2.json")
    put(home / ".gemini/tmp/other/chats/settings.json")
    put(home / ".codex/sessions/2026/session-1.json")
    put(home / OPENCODE / "opencode.db")
    put(home / OPENCODE / "opencode-dev.db")
    put(home / OPENCODE / "storage/message/ses_1/msg_1.json")
    assert found() == {
        str(home / name): files for (_, name), files in zip(SEARCHED[1:], (1, 1, 1, 3, 2, 1), strict=True)
    }


def test_files_next_to_the_logs_are_left_out(home: Path) -> None:
    put(home / ".claude/history.jsonl")
    put(home / ".codex/history.jsonl")
    put(home / ".gemini/tmp/project/logs.jsonl")
    put(home / OPENCODE / "opencode.db-wal")
    put(home / OPENCODE / "log/2026-03-01.log")
    put(home / OPENCODE / "storage/part/msg_1/part.jsonl")
    (home / OPENCODE / "opencode-old.db").symlink_to(home / "nowhere.db")
    assert found() == {}


# ---------------------------------------------------------------- variables


def test_variables_name_other_folders(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for _, name in SEARCHED:
        put(home / name.replace("*", "x") / "unused.jsonl")
    monkeypatch.setenv("CODEX_HOME", str(tmp_path / "codex"))
    monkeypatch.setenv("GEMINI_CLI_HOME", str(tmp_path / "gemini"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(tmp_path / "claude"))
    assert found() == {}
    paths = [
        "claude/projects/a.jsonl",
        "codex/sessions/a.jsonl",
        "gemini/.gemini/tmp/x/chats/a.jsonl",
        "data/opencode/opencode.db",
        "data/opencode/storage/message/a.jsonl",
    ]
    for path in paths:
        put(tmp_path / path)
    assert sum(found().values()) == len(paths) == len(found())


def test_claude_code_can_have_several_folders(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home / "one/projects/a.jsonl")
    put(tmp_path / "two/projects/b.jsonl")
    put(home / CLAUDE / "c.jsonl")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", f"~/one, two,,{tmp_path}/three,{home}/one")
    assert [(location.folder, location.files) for location in discover()[:3]] == [
        (str(home / "one/projects"), 1),
        (str(tmp_path / "two/projects"), 1),
        (str(tmp_path / "three/projects"), 0),
    ]
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", " ,")
    assert found() == {str(home / CLAUDE): 1}


def test_empty_variables_are_ignored(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home / ".codex/sessions/a.jsonl")
    put(home / OPENCODE / "opencode.db")
    for variable in VARIABLES:
        monkeypatch.setenv(variable, "")
    assert found() == {str(home / ".codex/sessions"): 1, str(home / OPENCODE / "opencode*.db"): 1}


@pytest.mark.parametrize(("name", "folder"), [("mine.db", f"home/{OPENCODE}/mine.db"), ("/DIR/mine.db", "mine.db")])
def test_opencode_can_have_another_database(
    name: str, folder: str, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path / folder)
    assert found() == {}
    monkeypatch.setenv("OPENCODE_DB", name.replace("/DIR", str(tmp_path)))
    assert found() == {str(tmp_path / folder): 1}


@pytest.mark.parametrize("name", [":memory:", "opencode.db"])
def test_a_database_is_listed_once(name: str, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(home / OPENCODE / "opencode.db")
    monkeypatch.setenv("OPENCODE_DB", name)
    assert [location.files for location in discover() if location.tool == "opencode"] == [1, 0]


# ---------------------------------------------------------------- commands and unusual files


def test_the_commands_name_what_was_found(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    odd = home / "it's *my* data"
    monkeypatch.setenv("CODEX_HOME", str(odd))
    monkeypatch.setenv("GEMINI_CLI_HOME", str(tmp_path / "home $HOME"))
    chats = [tmp_path / f"home $HOME/.gemini/tmp/{name}/chats" for name in ("a b", "c")]
    put(odd / "sessions/a.jsonl")
    put(odd / "archived_sessions/a.jsonl")
    for folder in chats:
        put(folder / "session.jsonl")
    put(home / CLAUDE / "a.jsonl")
    locations = [location for location in discover() if location.command]
    assert len(locations) == 4
    for location in locations:
        assert arguments(str(location.command)) == ["tokenmart", "run", *location.paths]
    assert abbreviated(locations[-1].folder) == locations[-1].folder, "not in the home folder, whose name is shorter"
    assert str(locations[-1].command).endswith("/.gemini/tmp'/*/chats")
    # a load of a folder without logs would fail
    (chats[0] / "session.jsonl").unlink()
    (location,) = (location for location in discover() if location.tool == "Gemini CLI" and location.command)
    assert location.paths == (str(chats[1]),) and location.files == 1
    assert arguments(str(location.command)) == ["tokenmart", "run", str(chats[1])]


def test_a_folder_that_a_link_leads_to_is_listed_once(home: Path) -> None:
    put(home / "dotfiles/claude/projects/a.jsonl")
    (home / ".config").mkdir()
    for name in (".claude", ".config/claude"):
        (home / name).symlink_to(home / "dotfiles/claude")
    claude = [location for location in discover() if location.tool == "Claude Code"]
    assert [(location.folder, location.files) for location in claude] == [(str(home / CLAUDE), 1)]


def test_links_out_of_a_folder_are_reported(home: Path, mart: Mart) -> None:
    put(home / "elsewhere/a.jsonl")
    (home / CLAUDE).mkdir(parents=True)
    (home / CLAUDE / "link.jsonl").symlink_to(home / "elsewhere/a.jsonl")
    location = mart.json("discover")[0]
    assert location["files"] == 0 and location["first_modified_at"] is None
    (problem,) = location["problems"]
    assert "link.jsonl: a symbolic link" in problem
    assert f"not read: {problem}" in mart.run("discover").output
    assert location["command"] == "tokenmart run ~/.claude/projects", "a load reports it too"


def test_control_characters_and_markup_are_printed_as_text(
    home: Path, mart: Mart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CODEX_HOME", str(home / "\x1b[b]\n"))
    put(home / "\x1b[b]\n/sessions/a.jsonl")
    output = mart.run("discover").output
    assert "\x1b" not in output and r"  ~/\x1b[b]\x0a/sessions " in output
    assert r"  tokenmart run ~/'\x1b[b]\x0a/sessions'" in output.splitlines()


def test_no_file_is_opened(home: Path) -> None:
    put(home / CLAUDE / "a.jsonl")
    put(home / ".gemini/tmp/x/chats/session.jsonl")
    put(home / OPENCODE / "opencode.db")
    script = f"""
import sys
opened = []
sys.addaudithook(lambda event, values: opened.append((event, values)) if event in ("open", "sqlite3.connect") else None)
open({str(home / "seen")!r}, "w").close()
from tokenmart.cli import main
try:
    main(["discover", "--json"])
except SystemExit as error:
    assert error.code == 0
print(*[str(values[0]) for _, values in opened if {str(home)!r} in str(values)], file=sys.stderr)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert sum(location["files"] for location in json.loads(done.stdout)) == 3
    assert done.stderr == f"{home / 'seen'}\n"


# ---------------------------------------------------------------- --discovered


def test_all_discovered_logs_are_loaded_in_addition_to_the_paths(home: Path, mart: Mart, project: Path) -> None:
    expected = [
        put(home / CLAUDE / "-work/a.jsonl", tokenledger("e1")),
        put(home / ".codex/sessions/2026/03/01/rollout-1.jsonl", tokenledger("e2")),
        put(home / ".gemini/tmp/x/chats/session-1.jsonl", tokenledger("e3")),
    ]
    put(home / ".gemini/tmp/x/logs.jsonl", tokenledger("e4"))
    (home / ".gemini/tmp/without/chats").mkdir(parents=True)
    previews = mart.json("load", "--discovered", "--dry-run")
    assert [file["name"] for file in previews] == list(map(str, expected))
    loaded = mart.json("load", "--discovered")
    assert [file["name"] for file in loaded["files"]] == list(map(str, expected))

    own = mart.write("own.jsonl", tokenledger("e5"))
    loaded = mart.json("load", own, expected[0], "--discovered")
    assert [(file["name"], file["read"]) for file in loaded["files"]] == [
        (str(own), 1),
        *((str(path), 0) for path in expected),
    ]
    assert mart.query("select event_id from raw_usage.events order by all") == [("e1",), ("e2",), ("e3",), ("e5",)]


def test_a_run_reads_discovered_logs(home: Path, mart: Mart, project: Path) -> None:
    path = put(home / CLAUDE / "foreign.jsonl", {"a": 1})
    answer = mart.json("run", "--discovered", code=1)
    assert [file["name"] for file in answer["load"]["files"]] == [str(path)]


@pytest.mark.parametrize("command", [["load"], ["load", "--dry-run"], ["run"], ["load", "FILE"]], ids=" ".join)
def test_a_command_fails_if_nothing_is_discovered(command: list[str], home: Path, mart: Mart, project: Path) -> None:
    path = mart.write("own.jsonl", tokenledger("e1"))
    (home / CLAUDE).mkdir(parents=True)
    command = [str(path) if argument == "FILE" else argument for argument in command]
    answer = mart.json(*command, "--discovered", code=2)
    assert answer == {
        "error": "No logs of LLM tools were found on this machine.",
        "hint": "To list the folders that were searched: tokenmart discover",
        "exit_code": 2,
    }
    assert not mart.path.exists()


@pytest.mark.parametrize("command", ["load", "run"])
def test_paths_are_required_without_the_option(command: str, home: Path, mart: Mart, project: Path) -> None:
    put(home / CLAUDE / "a.jsonl", tokenledger("e1"))
    output = mart.run(command, code=2).stderr
    assert "PATHS" in output and "--discovered" in output
