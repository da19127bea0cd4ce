"""Work done ahead: a thread that keeps the next few items of an iterator ready. Knows nothing of batches."""

import queue
import threading
from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

Item = TypeVar("Item")


class _Failure(NamedTuple):
    error: BaseException


class Ahead(Generic[Item]):
    """The items of an endless iterator, made in a thread before they are asked for.

    Args:
        items: the iterator; only the thread touches it from now on.
        depth: most items that wait to be taken.
    """

    def __init__(self, items: Iterator[Item], depth: int) -> None:
        self._items = items
        self._ready: queue.SimpleQueue[Item | _Failure] = queue.SimpleQueue()
        self._room = threading.Semaphore(depth)
        self._stop = False
        self._failure: BaseException | None = None
        # A daemon, so that a program which forgets to close does not hang at its end.
        self._thread = threading.Thread(target=self._work, name="batches-ahead", daemon=True)
        self._thread.start()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        """The next item; what the iterator raised is raised here, every time from then on."""
        if self._failure is None:
            made = self._ready.get()
            if not isinstance(made, _Failure):
                self._room.release()
                return made
            self._failure = made.error
        raise self._failure

    def close(self) -> None:
        """Stop the thread and wait for its end; an item that is being made is finished first."""
        self._stop = True
        self._room.release()
        self._thread.join()

    def _work(self) -> None:
        while True:
            self._room.acquire()
            if self._stop:
                return
            try:
                self._ready.put(next(self._items))
            except BaseException as failure:
                self._ready.put(_Failure(failure))
                return
