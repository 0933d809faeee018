"""Locks between the processes of one machine; a process that ends, however it ends, lets go of its locks."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loader.errors import TokenmartError


@contextmanager
def held(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Holds the lock `path`; says whether it could be had, as it always can by one who waits for it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = path.open("a")
    except OSError as error:
        raise TokenmartError(
            f"{path.parent} cannot be written to: {error.strerror}", "Let this user write there."
        ) from error
    with file as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
