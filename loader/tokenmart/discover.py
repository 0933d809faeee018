"""Finds the logs that LLM tools have written on this machine, without opening any file."""

import datetime as dt
import glob
import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenmart import files
from tokenmart.errors import UsageError


@dataclass(frozen=True)
class Place:
    """A place where a tool stores its logs: a folder or a file, or a glob (`pattern`) of them below `path`."""

    tool: str
    format: str
    path: Path
    pattern: str = ""


@dataclass(frozen=True)
class Location:
    """What there is to load at a place.

    `is_found` is true if the place exists. `files` is the number of files that a load reads, and `bytes` their stored
    size. The times are the first and the last modification time of these files, in UTC. `problems` are the reasons why
    other files are not read. `paths` are the paths to pass to a load. `command` is the command that loads them, None if
    there are none.
    """

    tool: str
    folder: str
    is_found: bool
    files: int
    bytes: int
    first_modified_at: dt.datetime | None
    last_modified_at: dt.datetime | None
    problems: tuple[str, ...]
    format: str
    paths: tuple[str, ...]
    command: str | None


def discover() -> list[Location]:
    """Every place where a known tool stores its logs, even if there are none. A folder is listed only once."""
    locations: list[Location] = []
    seen: set[str] = set()
    for place in _places():
        matches = _matches(place)
        new = {real: path for path in matches if (real := os.path.realpath(path)) not in seen}
        if new or not matches:
            locations.append(_location(place, matches, list(new.values())))
        seen |= new.keys()
    return locations


def discovered_paths() -> tuple[str, ...]:
    """The paths of all logs that `discover` finds. Raises UsageError if there are none."""
    paths = tuple(path for location in discover() for path in location.paths)
    if not paths:
        raise UsageError(
            "No logs of LLM tools were found on this machine.",
            "To list the folders that were searched: tokenmart discover",
        )
    return paths


def _places() -> Iterator[Place]:
    """Where the known tools store their logs, with the variables that the tools themselves read."""
    home = Path.home()
    listed = [name.strip() for name in os.environ.get("CLAUDE_CONFIG_DIR", "").split(",")]
    for folder in [_absolute(name) for name in listed if name] or [home / ".claude", home / ".config" / "claude"]:
        yield Place("Claude Code", "claude_code", folder / "projects")
    codex = _named("CODEX_HOME") or home / ".codex"
    for name in ("sessions", "archived_sessions"):
        yield Place("Codex", "codex", codex / name)
    gemini = (_named("GEMINI_CLI_HOME") or home) / ".gemini"
    # next to `chats` are other logs, such as the history of prompts
    yield Place("Gemini CLI", "gemini_cli", gemini / "tmp", "*/chats")
    opencode = (_named("XDG_DATA_HOME") or home / ".local" / "share") / "opencode"
    # the data folder also has credentials, opencode's own logs, and the content of messages
    yield Place("opencode", "opencode", opencode, "opencode*.db")
    database = os.environ.get("OPENCODE_DB")
    if database and database != ":memory:":
        yield Place("opencode", "opencode", opencode / database)
    yield Place("opencode", "opencode", opencode / "storage" / "message")


def _named(variable: str) -> Path | None:
    """The folder that an environment variable names, None if it is not set or empty."""
    name = os.environ.get(variable)
    return _absolute(name) if name else None


def _absolute(name: str) -> Path:
    """The absolute path of a folder in a variable. `~` is replaced, because shells do not do it after a comma."""
    path = Path(name)
    return Path.home().joinpath(*path.parts[1:]) if path.parts[:1] == ("~",) else path.absolute()


def _matches(place: Place) -> list[Path]:
    """The folders and files of a place that exist. As in a shell, a glob does not match hidden ones."""
    if not place.pattern:
        return [place.path] if place.path.exists() else []
    found = sorted(place.path / name for name in glob.glob(place.pattern, root_dir=place.path))  # noqa: PTH207
    return [path for path in found if path.is_dir() or path.is_file()]


def _location(place: Place, matches: list[Path], new: list[Path]) -> Location:
    """The files in and below the paths `new`, which are those of `matches` that no other place has."""
    by_path = {path: found for path in new if (found := _find(path))}
    found = [file for below in by_path.values() for file in below]
    readable = [file for file in found if not file.problem]
    times = [int(file.changed) for file in readable if file.changed]
    if list(by_path) == matches:
        named = _quoted(place.path, place.pattern)
    else:
        # a load stops at a folder without logs, which the glob also matches
        named = " ".join(_quoted(path) for path in by_path)
    return Location(
        tool=place.tool,
        folder=str(place.path / place.pattern),
        is_found=bool(matches),
        files=len(readable),
        bytes=sum(file.size for file in readable),
        first_modified_at=_utc(min(times)) if times else None,
        last_modified_at=_utc(max(times)) if times else None,
        problems=tuple(file.problem for file in found if file.problem),
        format=place.format,
        paths=tuple(map(str, by_path)),
        command=f"tokenmart run {named}" if by_path else None,
    )


def _find(path: Path) -> list[files.InputFile]:
    """The files that a load of this path reads or reports, none if it has no logs."""
    try:
        return files.find([str(path)])
    except UsageError:
        return []


def _utc(nanoseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(nanoseconds // 10**9, dt.UTC)


def abbreviated(path: str) -> str:
    """A path with `~` instead of the home folder."""
    home = str(Path.home())
    return f"~{path.removeprefix(home)}" if path == home or path.startswith(home + os.sep) else path


def _quoted(path: Path, pattern: str = "") -> str:
    """A path as shells read it, followed by a glob that they expand."""
    first, separator, others = abbreviated(str(path)).partition(os.sep)
    quoted = f"~{separator}{shlex.quote(others) if others else ''}" if first == "~" else shlex.quote(str(path))
    return f"{quoted}{os.sep}{pattern}" if pattern else quoted
