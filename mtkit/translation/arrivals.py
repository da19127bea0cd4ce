"""Lines as they arrive: read ahead in a thread, so that what is there is translated while more is awaited."""

import queue
import select
import threading
from collections.abc import Iterable, Iterator
from typing import BinaryIO

READ_AHEAD_LINES = 20_000  # read but not yet translated; bounds memory when the input is faster
READ_AHEAD_CHARACTERS = 16_000_000  # the same where lines are long
PATIENCE_SECONDS = 0.005  # how long a lull must be before what has arrived is translated
_CHUNK_BYTES = 1 << 16


class Arrivals(Iterator[str]):
    """An iterator over `lines` that knows whether the next one is already there.

    Errors of `lines` are raised in their place, after every line before them. Use as a context
    manager: leaving it ends the reading.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._queue: queue.Queue[str | BaseException] = queue.Queue(READ_AHEAD_LINES)
        self._next: str | BaseException | None = None
        self._closed = threading.Event()
        self._characters = 0  # of the lines that are in the queue
        self._counting = threading.Lock()
        # a daemon, because a read that blocks cannot be called back when the program ends
        self._thread = threading.Thread(target=self._read, args=(lines,), name="arrivals", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Arrivals":
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()

    def __next__(self) -> str:
        item = self._queue.get() if self._next is None else self._next
        self._next = None
        if isinstance(item, str):
            self._count(-len(item))
            return item
        self._next = item  # the end stays the end
        raise item

    def lull(self) -> bool:
        """True if no further line has arrived for a moment."""
        if self._next is None:
            try:
                self._next = self._queue.get(timeout=PATIENCE_SECONDS)
            except queue.Empty:
                return True
        return False

    def _read(self, lines: Iterable[str]) -> None:
        try:
            for line in lines:
                if not self._put(line):
                    return
        except BaseException as error:  # told to whoever waits for the next line
            self._put(error)
        else:
            self._put(StopIteration())

    def _count(self, characters: int) -> None:
        with self._counting:
            self._characters += characters

    def _put(self, item: str | BaseException) -> bool:
        while self._characters > READ_AHEAD_CHARACTERS and not self._closed.wait(PATIENCE_SECONDS):
            pass
        if isinstance(item, str):
            self._count(len(item))
        while not self._closed.is_set():
            try:
                self._queue.put(item, timeout=0.2)
            except queue.Full:
                continue
            return True
        return False


def byte_lines(stream: BinaryIO) -> Iterator[bytes]:
    """Lines of a stream, each with its `\\n`, the last perhaps without; each as soon as it is complete.

    Reads below the stream's buffer where there is one: a thread that waits inside the buffer holds a
    lock that Python needs to end the program.
    """
    raw = getattr(stream, "raw", stream)
    rest: list[bytes] = []
    while True:
        chunk = raw.read(_CHUNK_BYTES)
        if chunk is None:  # a stream that does not wait by itself
            select.select([raw], [], [])
            continue
        if not chunk:
            break
        *lines, tail = chunk.split(b"\n")
        for line in lines:
            rest.append(line + b"\n")
            yield b"".join(rest)
            rest = []
        if tail:
            rest.append(tail)
    if rest:
        yield b"".join(rest)
