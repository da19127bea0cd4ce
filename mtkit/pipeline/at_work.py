"""What the processes that run now need of the store: nobody cleans it away.

Each notes it beside a lock that it holds until its end, in whatever way that comes.
"""

import json
import os
import socket
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from mtkit.errors import MtkitError
from mtkit.files import read_json, user_errors

LOCKS = ".locks"  # within the store
NEEDS = "needs"


@contextmanager
def holding(store: Path, name: str) -> Iterator[None]:
    """Hold a lock of the store, and wait for it first; of one process, a block may lie within another.

    Args:
        store: the store's folder.
        name: of the lock.
    """
    lock = store / LOCKS / f"{name}.lock"
    with user_errors(store, makes=True):
        lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(lock, is_singleton=True)
        held.acquire()
    try:
        yield
    finally:
        held.release()


def deciding(store: Path) -> AbstractContextManager[None]:
    """One process at a time says what it needs of the store, or removes what nobody does."""
    return holding(store, "deciding")


@contextmanager
def needing(store: Path, folders: Iterable[str]) -> Iterator[None]:
    """Keep these folders of the store, made or not, until the block ends.

    Args:
        store: the store's folder.
        folders: their names.
    """
    note = store / LOCKS / f"{NEEDS}.{socket.gethostname()}.{os.getpid()}.{uuid.uuid4().hex[:8]}.json"
    lock = FileLock(note.with_suffix(".lock"))
    with deciding(store), user_errors(store):
        lock.acquire()
        note.write_text(json.dumps(sorted(folders)), "utf-8")
    try:
        yield
    finally:
        _forget(note, lock)


def needed_now(store: Path) -> set[str]:
    """Names of the folders that running processes need; notes of those that were killed are removed."""
    needed: set[str] = set()
    for note in (store / LOCKS).glob(f"{NEEDS}.*.json"):
        lock = FileLock(note.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except (Timeout, OSError):  # it runs; or the store may only be read, and nothing is removed from it
            with suppress(MtkitError):  # it ended just now
                needed |= set(read_json(note))
        else:
            _forget(note, lock)
    return needed


def _forget(note: Path, lock: FileLock) -> None:
    """Remove a note and then its lock, which nobody else asks for without the note."""
    with suppress(OSError):
        note.unlink(missing_ok=True)
        Path(lock.lock_file).unlink(missing_ok=True)
    lock.release()
