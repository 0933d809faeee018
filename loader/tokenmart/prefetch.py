"""Computes the next item of an iterator in a thread while the last one is used."""

import threading
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from contextlib import contextmanager
from typing import Any, TypeVar

WAIT_SECONDS = 1.0
_END = object()

Item = TypeVar("Item")


@contextmanager
def prefetch(
    items: Generator[Item, None, None], is_busy: Callable[[], bool] = lambda: False
) -> Iterator[Iterator[Item]]:
    """Yields the same items, each computed while the one before it is used; the first is started at once.

    An error of `items` is raised in its place. Leaving the context ends the thread and closes `items`. A thread that is
    blocked, for example because it reads a pipe that stays open, is left behind after WAIT_SECONDS, but not while
    `is_busy`: a process that ends while a thread computes may crash.
    """
    pending = _started(items)

    def results() -> Iterator[Item]:
        nonlocal pending
        while (item := pending.result()) is not _END:
            pending = _started(items)
            yield item

    try:
        yield results()
    finally:
        deadline = time.monotonic() + WAIT_SECONDS
        while not pending.done() and (time.monotonic() < deadline or is_busy()):
            wait_for([pending], timeout=0.05)
        if pending.done():
            items.close()


def _started(items: Iterator[Any]) -> Future[Any]:
    """The next item, or _END. A daemon thread: an executor's would keep the process alive while it is blocked."""
    future: Future[Any] = Future()

    def compute() -> None:
        try:
            future.set_result(next(items, _END))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=compute, daemon=True).start()
    return future
