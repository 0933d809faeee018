"""Makes the next item of an iterator while the last one is worked on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from queue import Empty, Queue
from typing import Any, TypeVar

Item = TypeVar("Item")


@contextmanager
def ahead(items: Iterator[Item]) -> Iterator[Iterator[Item]]:
    """The same items, each made in a thread while the one before it is used; the first is begun at once.

    An error of `items` is raised in its place. Leaving the context ends the thread.
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
        # a maker that waits for room would wait for ever
        while maker.is_alive():
            try:
                queue.get(timeout=0.05)
            except Empty:
                continue
