"""Locks between loads and between builds: lock files, and leases, which are rows in the warehouse that expire."""

import contextlib
import datetime as dt
import fcntl
import getpass
import os
import random
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loader.errors import TokenmartError

POLL_SECONDS = 0.5  # between attempts to take a file's lock
LEASE_SECONDS = 120.0  # how long a killed process keeps others waiting; renewed four times within that time
LEASE_POLL_SECONDS = 5.0  # each attempt is a query that may cost money

OnWait = Callable[[str], None]
"""Called once with the holder of a lock that this process waits for."""
Check = Callable[[], None]
"""Raises TokenmartError if the lock has been lost."""
_held: set[Path] = set()


def wait(holder: Callable[[], str | None], on_wait: OnWait, seconds: float) -> None:
    """Calls `holder`, which takes a lock or returns who holds it, until the lock is taken."""
    is_said = False
    while who := holder():
        if not is_said:
            on_wait(who)
        is_said = True
        # processes that ask at the same moment ask at different moments next time
        time.sleep(seconds * random.uniform(0.5, 1.5))


def lost(what: str) -> TokenmartError:
    """The error for a lock that was lost while it was needed."""
    return TokenmartError(
        f"The lock for {what} was lost, and another process may have taken it.",
        "Run the command again. An interrupted load has no effect, and the next build completes an interrupted one.",
    )


@contextmanager
def held(path: Path, job: str, on_wait: OnWait) -> Iterator[None]:
    """Holds the lock file `path`, whose content says who holds it, and for which job.

    The lock is released when the process ends, for whatever reason. Waits for other processes only: this process may
    take a lock again that it holds already.
    """
    if path in _held:
        yield
        return
    try:
        file = path.open("a+")
    except OSError as error:
        raise TokenmartError(
            f"Cannot write {path}: {error.strerror}", "Give this user permission to write there."
        ) from error

    def holder() -> str | None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            return file.read().strip() or job
        return None

    with file:
        wait(holder, on_wait, POLL_SECONDS)
        file.truncate(0)
        file.write(f"{job} by {_myself()} since {dt.datetime.now(dt.UTC):%H:%M:%S} UTC\n")
        file.flush()
        _held.add(path)
        try:
            yield
        finally:
            _held.remove(path)


@dataclass(frozen=True)
class LeaseSQL:
    """A lease in a warehouse's SQL: the type of texts, the clock (milliseconds since 1970), the update."""

    text: str
    clock: str
    layout: str = ""
    update: str = "update {table} set {values} where {condition}"


@contextmanager
def lease(
    session: Callable[[], AbstractContextManager[Any]],
    sql: LeaseSQL,
    schema: str,
    table: str,
    job: str,
    on_wait: OnWait,
) -> Iterator[Check]:
    """Holds the lease in the table `schema.table` of a warehouse, which is created if it is missing.

    `session` opens a separate connection (`Warehouse`); none stays open while the lease is held, because a login may
    expire. The process whose update of an expired row succeeds is the holder; a process that reads back another holder
    does not have the lease. A thread renews the lease. Times are from the warehouse's clock, as texts that sort.
    """
    myself, name = f"{_myself()}, {uuid.uuid4().hex[:8]}", f"{schema}.{table}"
    valid_until = 0.0

    def now(warehouse: Any) -> dt.datetime:
        return dt.datetime.fromtimestamp(int(warehouse.query(sql.clock)[0][0]) / 1000, dt.UTC)

    def write(warehouse: Any, condition: str, **values: str) -> None:
        listed = ", ".join(f"{column} = '{value}'" for column, value in values.items())
        try:
            warehouse.query(sql.update.format(table=name, values=listed, condition=condition))
        except Exception as error:
            # another process updated the row at the same moment
            if "concurrent" not in str(error).lower():
                raise

    def holders(warehouse: Any) -> dict[str, str]:
        """Holders whose lease has not expired, and until when. If there are several, none of them has it."""
        rows = warehouse.query(f"select holder, expires_at from {name} where expires_at >= '{_text(now(warehouse))}'")
        return {str(holder): str(until) for holder, until in rows}

    def extend(warehouse: Any, condition: str, **values: str) -> bool:
        nonlocal valid_until
        started, at = time.monotonic(), now(warehouse)
        until = _text(at + dt.timedelta(seconds=LEASE_SECONDS))
        write(warehouse, condition.format(now=_text(at)), expires_at=until, **values)
        if set(holders(warehouse)) != {myself}:
            return False
        valid_until = started + LEASE_SECONDS
        return True

    def release(warehouse: Any) -> None:
        write(warehouse, f"holder = '{myself}'", expires_at="")

    def holder(warehouse: Any) -> str | None:
        for who, until in holders(warehouse).items():
            return f"{job} by {who}, until {until[11:19]} UTC or later"
        if not warehouse.query(f"select 1 from {name} limit 1"):
            warehouse.query(f"insert into {name} (holder, acquired_at, expires_at) values ('', '', '')")
        if extend(warehouse, "expires_at < '{now}'", holder=myself, acquired_at=_text(now(warehouse))):
            return None
        release(warehouse)
        return f"{job} that started at the same moment"

    def renew() -> None:
        while not is_over.wait(LEASE_SECONDS / 4):
            # failures are retried until the lease has expired; then `check` raises
            with contextlib.suppress(Exception), session() as warehouse:
                extend(warehouse, f"holder = '{myself}' and expires_at >= '{{now}}'")

    is_over = threading.Event()
    with session() as warehouse:
        tables = warehouse.tables(schema)
        if not tables:
            warehouse.create_schema(schema)
        if table not in tables:
            columns = ", ".join(f"{column} {sql.text}" for column in ("holder", "acquired_at", "expires_at"))
            warehouse.query(f"create table if not exists {name} ({columns}) {sql.layout}".strip())
        wait(lambda: holder(warehouse), on_wait, LEASE_POLL_SECONDS)

    def check() -> None:
        is_ours = time.monotonic() <= valid_until
        # if the warehouse does not answer, the lease is still ours until it expires
        with contextlib.suppress(Exception), session() as warehouse:
            is_ours = is_ours and set(holders(warehouse)) == {myself}
        if not is_ours:
            raise lost(name)

    thread = threading.Thread(target=renew, daemon=True)
    thread.start()
    try:
        yield check
    finally:
        is_over.set()
        thread.join(LEASE_POLL_SECONDS)
        # if this fails, the lease expires
        with contextlib.suppress(Exception), session() as warehouse:
            release(warehouse)


def _myself() -> str:
    """Identifies this process, in words that mean something on another machine and are safe in SQL."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    said = f"{user}@{socket.gethostname()}, process {os.getpid()}"
    return "".join(letter if letter.isalnum() or letter in "@.-_, " else "_" for letter in said)


def _text(time: dt.datetime) -> str:
    return time.isoformat(sep=" ", timespec="milliseconds")[:23]
