"""One training at a time in a folder: two would write each other's checkpoints away."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from mtkit.errors import RunError
from mtkit.files import user_errors

LOCK = ".lock"


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold a folder while training writes to it; the hold dies with the process and leaves no file.

    Raises:
        RunError: another training holds it, or it cannot be written.
    """
    path = folder / LOCK
    with user_errors(path):
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            raise RunError(
                "another training is writing to this folder",
                where=str(folder),
                expected="one training at a time in a folder",
                advice="Wait until it is done, stop it, or train into another folder.",
            ) from None
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()
