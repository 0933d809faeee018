"""Makes the next item of an iterator while the last one is worked on."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from typing import Any, TypeVar

WAIT_SECONDS = 1.0

Item = TypeVar("Item")


@contextmanager
def ahead(items: Iterator[Item], is_busy: Callable[[], bool] = lambda: False) -> Iterator[Iterator[Item]]:
    """The same items, each made in a thread while the one before it is used; the first is begun at once.

    An error of `items` is raised in its place. Leaving the context ends the thread. One that is blocked, for example
    because it reads a pipe that stays open, is left behind after WAIT_SECONDS, but not while `is_busy`: a process that
    ends while a thread computes may crash.
    """
    queue: Queue[tuple[str, Any]] = Queue(maxsize=1)
    is_wanted = threading.Event()
    is_wanted.set()

    def make() -> None:
        try:
            for item in items:
                queue.put(("item", item))
                if not is_wanted.is_set():
                    return
            queue.put(("end", None))
        except BaseException as error:
            queue.put(("error", error))

    def take() -> Iterator[Item]:
        while True:
            kind, value = queue.get()
            if kind == "end":
                return
            if kind == "error":
                raise value
            yield value

    maker = threading.Thread(target=make, daemon=True)
    maker.start()
    try:
        yield take()
    finally:
        is_wanted.clear()
        deadline = time.monotonic() + WAIT_SECONDS
        # makes room, for which the thread may be waiting
        while maker.is_alive() and (time.monotonic() < deadline or is_busy()):
            try:
                queue.get(timeout=0.05)
            except Empty:
                continue
