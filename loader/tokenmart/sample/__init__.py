"""Writes realistic LLM usage logs of any size, for trying out and measuring Tokenmart."""

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
SESSIONS_PER_CHUNK = 10_000  # with six events each on average; must be even, because the SQL creates sessions in pairs


def write_sample(
    folder: Path,
    *,
    events: int,
    days: int,
    seed: int,
    formats: Sequence[str] = ("tokenledger",),
    end: datetime.date = LAST_DATE,
) -> list[Path]:
    """Writes `events` requests of each format below `folder`/<format>, over the `days` (UTC) that end with `end`.

    A request can have several lines; each ctm point is one request. Lines are in the order in which they were written,
    which for some tokenledger lines is days after their timestamp. The same arguments give the same bytes on every
    machine. Memory hardly depends on `events`. A hidden file marks the files as samples for the loader. Returns the
    paths of the written files in order.

    Raises UsageError for an unknown format, for less than one event or one day, and if the folder of a format is not
    empty, because two samples in one folder would be loaded together.
    """
    for name in formats:
        if name not in FORMATS:
            raise UsageError(f"There is no sample for the format '{name}'.", f"The formats are {', '.join(FORMATS)}.")
        if (folder / name).exists() and any((folder / name).iterdir()):
            raise UsageError(f"{folder / name} is not empty.", "Use another folder, or delete its files.")
    if events < 1 or days < 1:
        raise UsageError("A sample needs at least one event and one day.")
    for name in formats:
        # mark the folder of each format, because the common folder may contain other files
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / SAMPLE_MARK).write_text("The files in and below this folder are samples.\n")
    starts_on = end - datetime.timedelta(days=days - 1)
    written: list[Path] = []
    for name in sorted(set(formats)):
        # the format is part of the seed, so that formats do not share request ids
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
                where written_at < (select next_session_at from horizon)
                order by file, written_at, event, part
                """
            ).fetchall()
            for file, lines in groupby(rows, key=itemgetter(0)):
                path = folder / file
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("a", encoding="utf-8", newline="") as stream:
                    stream.writelines(line for _, line in lines)
                written.add(path)
            # lines that are written after the next chunk has started: of long sessions, and late events
            connection.execute(
                """
                create or replace table waiting as
                from waiting
                where written_at >= (select next_session_at from horizon)
                """
            )
    return sorted(written)


def _set(connection: duckdb.DuckDBPyConnection, variables: dict[str, object]) -> None:
    for name, value in variables.items():
        connection.execute(f"set variable {name} = ?", [value])


def _sql(name: str) -> str:
    return Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8")
