"""The cache folder: fetched archives by hash, extracted datasets, locks between processes.

`MTKIT_CACHE` names the folder; otherwise the user's cache folder of this system is used.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from mtkit.errors import RunError
from mtkit.files import user_errors

Say = Callable[[str], None]


def cache_folder() -> Path:
    """Where fetched and extracted data lies; not made here."""
    if chosen := os.environ.get("MTKIT_CACHE"):
        return Path(chosen)
    import platformdirs

    return platformdirs.user_cache_path("mtkit", appauthor=False)


def archive_place(digest: str, filename: str) -> Path:
    """Where the archive with this SHA-256 lies, or would."""
    return cache_folder() / "archives" / digest / filename


@contextmanager
def locked(name: str, say: Say) -> Iterator[None]:
    """Hold the cache's lock of this name; a second process waits, and says so."""
    from filelock import FileLock, Timeout  # takes time that a translation does not have

    folder = cache_folder() / "locks"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(
            f"the cache folder cannot be made: {error.strerror or error}",
            where=str(folder),
            expected="a folder that this user may write",
            advice="Name another with MTKIT_CACHE.",
        ) from error
    with user_errors(folder):
        lock = FileLock(folder / f"{name}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            say(f"waiting: another process is fetching or reading {name}")
            lock.acquire()
    try:
        yield
    finally:
        lock.release()
