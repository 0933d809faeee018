"""Writes realistic LLM usage logs of any size, for trying Tokenmart out and for measuring it."""

import datetime
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import duckdb

from loader.errors import UsageError

FORMATS = ("tokenledger", "claude_code", "tokenmeter", "ctm")
LAST_DATE = datetime.date(2026, 10, 31)
SESSIONS_PER_CHUNK = 10_000  # of six events on average; even, because the SQL makes sessions in pairs


def write_sample(
    folder: Path,
    *,
    events: int,
    days: int,
    seed: int,
    formats: Sequence[str] = ("tokenledger",),
    end: datetime.date = LAST_DATE,
) -> list[Path]:
    """Writes `events` requests of each format below `folder`/<format>, spread over the `days` (UTC) that end with `end`.

    A request may take several lines; the points of ctm count as requests. Lines are in the order of writing, in which
    some of tokenledger's are late. The same arguments give the same bytes, on any machine and at any time, at a memory
    cost that hardly grows with `events`. Returns the files written, in the order of their paths.

    Raises UsageError for an unknown format, for less than one event or one day, and where a format's folder is not
    empty: two samples in one folder would be counted together.
    """
    if unknown := [name for name in formats if name not in FORMATS]:
        raise UsageError(f"There is no sample of the format '{unknown[0]}'.", f"Choose from {', '.join(FORMATS)}.")
    if events < 1 or days < 1:
        raise UsageError("A sample needs at least one event and one day.")
    for name in formats:
        if (folder / name).exists() and any((folder / name).iterdir()):
            raise UsageError(f"{folder / name} is not empty.", "Give another folder, or remove the older sample.")
    starts_on = end - datetime.timedelta(days=days - 1)
    written: set[Path] = set()
    for name in set(formats):
        settings = {"seed": f"{seed}/{name}", "events": events, "days": days, "starts_on": starts_on}
        written |= _write_format(name, folder / name, settings, 2 * -(-events // 12))
    return sorted(written)


def _write_format(name: str, folder: Path, settings: dict[str, object], sessions: int) -> set[Path]:
    written: set[Path] = set()
    with duckdb.connect() as connection:
        _set(connection, settings)
        connection.execute(_sql("sample"))
        connection.execute("create table waiting(file text, written_at timestamp, event bigint, part bigint, line text)")
        for first in range(0, sessions, SESSIONS_PER_CHUNK):
            _set(connection, {"first_session": first, "next_session": min(first + SESSIONS_PER_CHUNK, sessions)})
            connection.execute("insert into waiting " + _sql(f"sample_{name}"))
            rows = connection.execute(
                """
                select file, line || chr(10)
                from waiting
                where written_at < (select reaches_to from horizon)
                order by file, written_at, event, part
                """
            ).fetchall()
            for file, lines in groupby(rows, key=itemgetter(0)):
                path = folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8", newline="") as stream:
                    stream.writelines(line for _, line in lines)
                written.add(path)
            connection.execute(
                "create or replace table waiting as from waiting where written_at >= (select reaches_to from horizon)"
            )
    return written


def _set(connection: duckdb.DuckDBPyConnection, variables: dict[str, object]) -> None:
    for name, value in variables.items():
        connection.execute(f"set variable {name} = ?", [value])


def _sql(name: str) -> str:
    return Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
