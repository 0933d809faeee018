"""Computes the next item of an iterator in a thread while the current item is used."""

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
    """Yields an iterator over the same items. Each item is computed while the one before it is used.

    The first item is started immediately. Errors of `items` are raised by the iterator. Leaving the context waits for
    the thread and closes `items`. If the thread is blocked, for example because it reads a pipe that stays open, it is
    abandoned after WAIT_SECONDS, but not while `is_busy` is true: the process may crash if it ends during a
    computation.
    """
    pending = _compute_next(items)

    def results() -> Iterator[Item]:
        nonlocal pending
        while (item := pending.result()) is not _END:
            pending = _compute_next(items)
            yield item

    try:
        yield results()
    finally:
        deadline = time.monotonic() + WAIT_SECONDS
        while not pending.done() and (time.monotonic() < deadline or is_busy()):
            wait_for([pending], timeout=0.05)
        if pending.done():
            items.close()


def _compute_next(items: Iterator[Any]) -> Future[Any]:
    """Computes the next item, or _END, in a daemon thread, which does not keep the process alive if it is blocked."""
    future: Future[Any] = Future()

    def compute() -> None:
        try:
            future.set_result(next(items, _END))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=compute, daemon=True).start()
    return future
