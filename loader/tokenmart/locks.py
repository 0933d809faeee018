"""Locks between loads and between builds: lock files, and leases, which are rows in the warehouse that expire."""

import contextlib
import datetime as dt
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

from tokenmart.errors import TokenmartError

POLL_SECONDS = 0.5  # between attempts to take a file's lock
LEASE_SECONDS = 120.0  # how long a killed process keeps others waiting; renewed four times within that time
LEASE_POLL_SECONDS = 5.0  # each attempt, and each check, is a login and queries that may cost money

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

    The lock is released when the process ends, for any reason. Waits for other processes only: this process may
    take a lock again that it holds already.
    """
    if path in _held:
        yield
        return
    # its import takes a tenth of a second
    import filelock

    # a soft lock would stay when its process is killed
    lock = filelock.FileLock(path, blocking=False, thread_local=False, fallback_to_soft=False)

    def holder() -> str | None:
        try:
            lock.acquire()
        except filelock.Timeout:
            return _noted(path) or job
        except OSError as error:
            raise TokenmartError(
                f"Cannot write {path}: {error.strerror}", "Give this user permission to write there."
            ) from error
        return None

    wait(holder, on_wait, POLL_SECONDS)
    try:
        _note(path, f"{job} by {_myself()} since {dt.datetime.now(dt.UTC):%H:%M:%S} UTC")
        _held.add(path)
        yield
    finally:
        _held.discard(path)
        lock.release()


def _note(path: Path, text: str) -> None:
    """Writes who holds a lock file into it, after the first byte: on Windows, that one is locked for everybody."""
    with path.open("r+b") as file:
        file.seek(1)
        file.write(text.encode())


def _noted(path: Path) -> str:
    """Who holds a lock file; empty if the holder has not written it yet."""
    with path.open("rb", buffering=0) as file:
        file.seek(1)
        return file.read().decode()


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
    expire. A thread renews the lease.
    """
    held_lease = _Lease(session, sql, f"{schema}.{table}", job)
    with session() as warehouse:
        tables = warehouse.tables(schema)
        if not tables:
            warehouse.create_schema(schema)
        if table not in tables:
            columns = ", ".join(f"{column} {sql.text}" for column in ("holder", "acquired_at", "expires_at"))
            warehouse.query(f"create table if not exists {held_lease.name} ({columns}) {sql.layout}".strip())
    wait(held_lease.acquire, on_wait, LEASE_POLL_SECONDS)
    is_over = threading.Event()
    thread = threading.Thread(target=held_lease.renew_until, args=[is_over], daemon=True)
    thread.start()
    try:
        yield held_lease.check
    finally:
        is_over.set()
        thread.join(LEASE_POLL_SECONDS)
        # if this fails, the lease expires
        with contextlib.suppress(Exception), session() as warehouse:
            held_lease.release(warehouse)


class _Lease:
    """One process's view of a lease.

    The process whose update of an expired row succeeds is the holder; a process that reads back another holder does not
    have the lease. Times are from the warehouse's clock, as texts that sort.
    """

    def __init__(self, session: Callable[[], AbstractContextManager[Any]], sql: LeaseSQL, name: str, job: str) -> None:
        self.name = name
        self._session, self._sql, self._job = session, sql, job
        self._myself = f"{_myself()}, {uuid.uuid4().hex[:8]}"
        self._valid_until = self._checked_at = 0.0

    def acquire(self) -> str | None:
        """Takes the lease, or returns who holds it."""
        with self._session() as warehouse:
            return self._acquire(warehouse)

    def _acquire(self, warehouse: Any) -> str | None:
        for who, until in self._holders(warehouse).items():
            return f"{self._job} by {who}, until {until[11:19]} UTC or later"
        if not warehouse.query(f"select 1 from {self.name} limit 1"):
            warehouse.query(f"insert into {self.name} (holder, acquired_at, expires_at) values ('', '', '')")
        taken_at = _text(self._now(warehouse))
        if self._extend(warehouse, "expires_at < '{now}'", holder=self._myself, acquired_at=taken_at):
            return None
        self.release(warehouse)
        return f"{self._job} that started at the same moment"

    def renew_until(self, is_over: threading.Event) -> None:
        """Renews the lease again and again. Failures are retried until it has expired; then `check` raises."""
        while not is_over.wait(LEASE_SECONDS / 4):
            with contextlib.suppress(Exception), self._session() as warehouse:
                self._extend(warehouse, f"holder = '{self._myself}' and expires_at >= '{{now}}'")

    def check(self) -> None:
        """Raises TokenmartError if the lease has been lost; asks the warehouse every few seconds at most."""
        now = time.monotonic()
        is_ours = now <= self._valid_until
        if is_ours and now - self._checked_at > min(LEASE_POLL_SECONDS, LEASE_SECONDS / 4):
            # if the warehouse does not answer, the lease is still ours until it expires
            with contextlib.suppress(Exception), self._session() as warehouse:
                is_ours = set(self._holders(warehouse)) == {self._myself}
                self._checked_at = now
        if not is_ours:
            raise lost(self.name)

    def release(self, warehouse: Any) -> None:
        """Lets others take the lease."""
        self._write(warehouse, f"holder = '{self._myself}'", expires_at="")

    def _extend(self, warehouse: Any, condition: str, **values: str) -> bool:
        started, now = time.monotonic(), self._now(warehouse)
        until = _text(now + dt.timedelta(seconds=LEASE_SECONDS))
        self._write(warehouse, condition.format(now=_text(now)), expires_at=until, **values)
        if set(self._holders(warehouse)) != {self._myself}:
            return False
        self._valid_until = started + LEASE_SECONDS
        return True

    def _holders(self, warehouse: Any) -> dict[str, str]:
        """Holders whose lease has not expired, and until when. If there are several, none of them has it."""
        now = _text(self._now(warehouse))
        rows = warehouse.query(f"select holder, expires_at from {self.name} where expires_at >= '{now}'")
        return {str(holder): str(until) for holder, until in rows}

    def _now(self, warehouse: Any) -> dt.datetime:
        return dt.datetime.fromtimestamp(int(warehouse.query(self._sql.clock)[0][0]) / 1000, dt.UTC)

    def _write(self, warehouse: Any, condition: str, **values: str) -> None:
        listed = ", ".join(f"{column} = '{value}'" for column, value in values.items())
        try:
            warehouse.query(self._sql.update.format(table=self.name, values=listed, condition=condition))
        except Exception as error:
            # another process updated the row at the same moment
            if "concurrent" not in str(error).lower():
                raise


def _myself() -> str:
    """Identifies this process, in words that mean something on another machine and are safe in SQL."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown user"
    said = f"{user}@{socket.gethostname()}, process {os.getpid()}"
    return "".join(letter if letter.isalnum() or letter in "@.-_, " else "_" for letter in said)


def _text(time: dt.datetime) -> str:
    return time.isoformat(sep=" ", timespec="milliseconds")[:23]
