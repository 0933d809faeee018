"""Locks for loads and builds: lock files, and leases, which are rows in the warehouse that expire."""

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

POLL_SECONDS = 0.5  # between attempts to take a lock
LEASE_SECONDS = 120.0  # the longest time that a killed process can block others; a lease is renewed every quarter of it
LEASE_POLL_SECONDS = 5.0  # each attempt and each check needs a login and queries, which can cost money

OnWait = Callable[[str], None]
"""Called once with the holder of the lock that this process waits for."""
Check = Callable[[], None]
"""Raises TokenmartError if the lock has been lost."""
_held: set[Path] = set()


def wait_for_lock(holder: Callable[[], str | None], on_wait: OnWait, seconds: float) -> None:
    """Calls `holder`, which takes a lock or returns a text that names its holder, until it takes the lock."""
    is_reported = False
    while holder_name := holder():
        if not is_reported:
            on_wait(holder_name)
        is_reported = True
        # random, so that two processes do not always try at the same moment
        time.sleep(seconds * random.uniform(0.5, 1.5))


def lock_lost(what: str) -> TokenmartError:
    """The error for a lock that was lost while it was needed. `what` names the lock."""
    return TokenmartError(
        f"The lock for {what} was lost, and another process may have taken it.",
        "Run the command again. An interrupted load has no effect, and the next build completes an interrupted build.",
    )


@contextmanager
def lock_file(path: Path, job: str, on_wait: OnWait) -> Iterator[None]:
    """Holds the lock on the file `path`. The file contains the name of the process that holds the lock, and its job.

    The lock is released when the process ends, for any reason. A process does not wait for its own locks: it can take
    a lock again that it already holds. Raises TokenmartError if the file cannot be written.
    """
    if path in _held:
        yield
        return
    # a slow import: a tenth of a second
    import filelock

    # a soft lock would remain if its process is killed
    lock = filelock.FileLock(path, blocking=False, thread_local=False, fallback_to_soft=False)

    def holder() -> str | None:
        try:
            lock.acquire()
        except filelock.Timeout:
            return _read_holder(path) or job
        except OSError as error:
            raise TokenmartError(
                f"Cannot write {path}: {error.strerror}", "Give this user permission to write there."
            ) from error
        return None

    wait_for_lock(holder, on_wait, POLL_SECONDS)
    try:
        _write_holder(path, f"{job} by {_process_name()} since {dt.datetime.now(dt.UTC):%H:%M:%S} UTC")
        _held.add(path)
        yield
    finally:
        _held.discard(path)
        lock.release()


def _write_holder(path: Path, text: str) -> None:
    """Writes the name of the holder into a lock file, after the first byte, which nobody can read on Windows."""
    with path.open("r+b") as file:
        file.seek(1)
        file.write(text.encode())


def _read_holder(path: Path) -> str:
    """The name of the holder of a lock file; empty if the holder has not written it yet."""
    with path.open("rb", buffering=0) as file:
        file.seek(1)
        return file.read().decode()


@dataclass(frozen=True)
class LeaseSQL:
    """The SQL of a lease in one warehouse.

    `text` is the type of texts, `clock` a query for the time (milliseconds since 1970), `layout` an addition to the
    create statement, and `update` a template for updates.
    """

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
    """Holds the lease in the table `schema.table` of a warehouse. Creates the table if it does not exist.

    `session` opens a connection (`Warehouse`). No connection stays open while the lease is held, because logins can
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
    wait_for_lock(held_lease.acquire, on_wait, LEASE_POLL_SECONDS)
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
    """A lease, as one process sees it.

    To take the lease, a process updates the expired row and reads it back. It has the lease only if it is the only
    holder in the row. Times are from the clock of the warehouse, as texts that can be compared.
    """

    def __init__(self, session: Callable[[], AbstractContextManager[Any]], sql: LeaseSQL, name: str, job: str) -> None:
        self.name = name
        self._session, self._sql, self._job = session, sql, job
        self._holder = f"{_process_name()}, {uuid.uuid4().hex[:8]}"
        self._valid_until = self._checked_at = 0.0

    def acquire(self) -> str | None:
        """Takes the lease, or returns a text that names its holder."""
        with self._session() as warehouse:
            return self._acquire(warehouse)

    def _acquire(self, warehouse: Any) -> str | None:
        for holder, until in self._holders(warehouse).items():
            return f"{self._job} by {holder}, until {until[11:19]} UTC or later"
        if not warehouse.query(f"select 1 from {self.name} limit 1"):
            warehouse.query(f"insert into {self.name} (holder, acquired_at, expires_at) values ('', '', '')")
        taken_at = _sortable(self._now(warehouse))
        if self._extend(warehouse, "expires_at < '{now}'", holder=self._holder, acquired_at=taken_at):
            return None
        self.release(warehouse)
        return f"{self._job} that started at the same moment"

    def renew_until(self, is_over: threading.Event) -> None:
        """Renews the lease until `is_over` is set.

        Failures are retried until the lease has expired; then `check` raises.
        """
        while not is_over.wait(LEASE_SECONDS / 4):
            with contextlib.suppress(Exception), self._session() as warehouse:
                self._extend(warehouse, f"holder = '{self._holder}' and expires_at >= '{{now}}'")

    def check(self) -> None:
        """Raises TokenmartError if the lease has been lost. Queries the warehouse only every few seconds."""
        now = time.monotonic()
        is_valid = now <= self._valid_until
        if is_valid and now - self._checked_at > min(LEASE_POLL_SECONDS, LEASE_SECONDS / 4):
            # if the warehouse does not answer, this process has the lease until it expires
            with contextlib.suppress(Exception), self._session() as warehouse:
                is_valid = set(self._holders(warehouse)) == {self._holder}
                self._checked_at = now
        if not is_valid:
            raise lock_lost(self.name)

    def release(self, warehouse: Any) -> None:
        """Releases the lease."""
        self._write(warehouse, f"holder = '{self._holder}'", expires_at="")

    def _extend(self, warehouse: Any, condition: str, **values: str) -> bool:
        started, now = time.monotonic(), self._now(warehouse)
        until = _sortable(now + dt.timedelta(seconds=LEASE_SECONDS))
        self._write(warehouse, condition.format(now=_sortable(now)), expires_at=until, **values)
        if set(self._holders(warehouse)) != {self._holder}:
            return False
        self._valid_until = started + LEASE_SECONDS
        return True

    def _holders(self, warehouse: Any) -> dict[str, str]:
        """The holders whose lease has not expired, with its expiry time.

        If there are several, none of them has the lease.
        """
        now = _sortable(self._now(warehouse))
        rows = warehouse.query(f"select holder, expires_at from {self.name} where expires_at >= '{now}'")
        return {str(holder): str(until) for holder, until in rows}

    def _now(self, warehouse: Any) -> dt.datetime:
        return dt.datetime.fromtimestamp(int(warehouse.query(self._sql.clock)[0][0]) / 1000, dt.UTC)

    def _write(self, warehouse: Any, condition: str, **values: str) -> None:
        listed = ", ".join(f"{column} = '{value}'" for column, value in values.items())
        try:
            warehouse.query(self._sql.update.format(table=self.name, values=listed, condition=condition))
        except Exception as error:
            # another process has updated the row at the same time
            if "concurrent" not in str(error).lower():
                raise


def _process_name() -> str:
    """The name of this process: user, host and process id, without characters that have a meaning in SQL."""
    try:
        user = getpass.getuser()
    except (ImportError, KeyError, OSError):
        user = str(os.getuid()) if hasattr(os, "getuid") else "unknown user"
    name = f"{user}@{socket.gethostname()}, process {os.getpid()}"
    return "".join(letter if letter.isalnum() or letter in "@.-_, " else "_" for letter in name)


def _sortable(time: dt.datetime) -> str:
    """A time as text with milliseconds, which sorts by time."""
    return time.isoformat(sep=" ", timespec="milliseconds")[:23]
