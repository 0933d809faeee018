"""Writes realistic LLM usage logs of any size, to try out Tokenmart and to measure it."""

import datetime
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import duckdb

from tokenmart.errors import UsageError
from tokenmart.files import SAMPLE_MARK

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
    """Writes `events` requests of each format below `folder`/<format>, over the `days` (UTC) up to `end`.

    A request may take several lines; each ctm point counts as one. Lines are in the order of writing, which for some
    tokenledger lines is days after their timestamp. The same arguments give the same bytes, on any machine and at any
    time. Memory hardly grows with `events`. Returns the written files, ordered by path. A hidden file marks them as
    samples for the loader.

    Raises UsageError for an unknown format, for less than one event or one day, and if the folder of a format is not
    empty: two samples in one folder would be counted together.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"There is no sample for the format '{name}'.", f"The formats are {', '.join(FORMATS)}.")
        if (folder / name).exists() and any((folder / name).iterdir()):
            raise UsageError(f"{folder / name} is not empty.", "Use another folder, or delete its files.")
    if events < 1 or days < 1:
        raise UsageError("A sample needs at least one event and one day.")
    for name in formats:
        # not their common folder, which may get other files
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / SAMPLE_MARK).write_text("The files in and below this folder are samples.\n")
    starts_on = end - datetime.timedelta(days=days - 1)
    written: list[Path] = []
    for name in sorted(set(formats)):
        # the format is part of the seed, so that no two formats share a request id
        settings = {"seed": f"{seed}/{name}", "events": events, "days": days, "starts_on": starts_on}
        written += _write_format(name, folder / name, events, settings)
    return written


def _write_format(name: str, folder: Path, events: int, settings: dict[str, object]) -> list[Path]:
    written: set[Path] = set()
    with duckdb.connect() as connection:
        _set(connection, settings)
        connection.execute(_sql("common"))
        connection.execute(
            "create table waiting(file text, written_at timestamp, event bigint, part bigint, line text)"
        )
        sessions = 2 * -(-events // 12)
        for first in range(0, sessions, SESSIONS_PER_CHUNK):
            _set(connection, {"first_session": first, "next_session": first + SESSIONS_PER_CHUNK})
            connection.execute("insert into waiting " + _sql(name))
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
            # sessions that continue in the next chunk, and late events
            connection.execute(
                """
                create or replace table waiting as
                from waiting
                where written_at >= (select reaches_to from horizon)
                """
            )
    return sorted(written)


def _set(connection: duckdb.DuckDBPyConnection, variables: dict[str, object]) -> None:
    for name, value in variables.items():
        connection.execute(f"set variable {name} = ?", [value])


def _sql(name: str) -> str:
    return Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
