"""The store: finished stages under `<kind>-<fingerprint>`, never edited; unfinished ones under `….partial`.

A stage is made in its partial folder, which one process at a time holds by a lock that dies with the process,
and becomes visible in one move. What a stage is and why it is run is not known here.
"""

import os
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from platform import python_version
from typing import Any, Literal

from filelock import FileLock, Timeout

from mtkit import __version__
from mtkit.errors import MtkitError, RunError
from mtkit.files import read_json, sha256, sync, user_errors, write_json
from mtkit.pipeline.at_work import LOCKS
from mtkit.pipeline.fingerprint import Ingredients

RECORD = "stage.json"
SESSIONS = "sessions.json"
PARTIAL = ".partial"
DAMAGED = ".damaged"
IN_USE = ".nfs"  # how NFS names what is deleted while a process has it open or mapped: it goes with that
SHOWN = 16  # digits of the fingerprint in a folder's name
WAIT_SECONDS = 0.3  # between two looks at a held lock
LIBRARIES = ("torch", "sentencepiece", "sacrebleu", "polars", "numpy")

State = Literal["stored", "partial", "running", "damaged"]


@dataclass(frozen=True)
class Holder:
    """Who holds a stage's lock.

    Attributes:
        since: when it was taken, in seconds since 1970.
    """

    pid: int
    host: str
    since: float

    def __str__(self) -> str:
        taken = datetime.fromtimestamp(self.since).strftime("%Y-%m-%d %H:%M:%S")
        return f"process {self.pid} on {self.host}, since {taken}"


@dataclass(frozen=True)
class Entry:
    """One folder of the store.

    Attributes:
        name: the folder's name.
        kind: name of the stage's kind.
        holder: who runs it, where it is running.
        size_bytes: of all its files.
        modified: when it was last written to, in seconds since 1970.
    """

    name: str
    kind: str
    path: Path
    state: State
    holder: Holder | None
    size_bytes: int
    modified: float


class Partial:
    """A stage in progress, held by this process.

    Attributes:
        path: where the stage writes.
        is_resumed: True if an earlier process left work here.
    """

    def __init__(self, path: Path, *, resumes: bool) -> None:
        with user_errors(path):
            if path.exists() and not resumes:
                shutil.rmtree(path)
            self.is_resumed = path.exists()
            path.mkdir(parents=True, exist_ok=True)
            for half in (*path.rglob(".*.new"), *path.rglob(".*.old")):  # of a write that was killed
                shutil.rmtree(half) if half.is_dir() else half.unlink(missing_ok=True)  # it may be in another
        self.path = path
        self._sessions = self._earlier_sessions()
        self._started = time.time()
        write_json(path / SESSIONS, self._with_this(None))

    def _earlier_sessions(self) -> list[dict[str, Any]]:
        """Sessions before this one; one that was killed lasted until it last wrote."""
        if not (self.path / SESSIONS).exists():
            return []
        try:
            sessions: list[dict[str, Any]] = read_json(self.path / SESSIONS)
            for session in sessions:
                if session["seconds"] is None:
                    session["seconds"] = round(max(0.0, _newest(self.path) - session["started"]), 1)
        except (MtkitError, TypeError, KeyError):  # a damaged note is no reason to lose the work
            return []
        return sessions

    def _with_this(self, seconds: float | None) -> list[dict[str, Any]]:
        """All sessions; `seconds` of this one are None while it lasts."""
        this = {"started": round(self._started, 1), "seconds": seconds, "host": socket.gethostname()}
        return [*self._sessions, this]

    def clear(self, keep: tuple[str, ...]) -> None:
        """Delete what a failed stage wrote but for these files; best effort. Nothing once it is sealed."""
        for path in self.path.iterdir() if self.path.exists() else ():
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            elif path.name not in (*keep, SESSIONS):
                with suppress(OSError):
                    path.unlink()

    def pause(self) -> None:
        """Note how long this session lasted; best effort, for it may be the disk that stopped it."""
        with suppress(MtkitError):
            write_json(self.path / SESSIONS, self.sessions())

    def sessions(self) -> list[dict[str, Any]]:
        """Every session that worked on the stage, this one last, each with its `seconds`."""
        return self._with_this(round(max(0.0, time.time() - self._started), 1))


class Store:
    """Finished and unfinished stages under one folder.

    Args:
        root: the folder; made when something is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, kind: str, fingerprint: str) -> Path:
        """Where the finished stage is, or would be."""
        return self.root / f"{kind}-{fingerprint[:SHOWN]}"

    def is_stored(self, kind: str, fingerprint: str) -> bool:
        """True if the stage is finished and its files have the sizes they were stored with."""
        folder = self.folder(kind, fingerprint)
        return (folder / RECORD).exists() and self.damage(kind, fingerprint) is None

    def damage(self, kind: str, fingerprint: str, *, verify: bool = False) -> str | None:
        """What is wrong with a finished stage, or None if nothing is (or it is not there at all).

        Args:
            verify: also hash every file.
        """
        folder = self.folder(kind, fingerprint)
        if not folder.exists():
            return None
        damage = folder_damage(folder, verify=verify)
        if damage is None and read_json(folder / RECORD).get("fingerprint") != fingerprint:
            return f"{RECORD} is of another stage"
        return damage

    def record(self, kind: str, fingerprint: str) -> dict[str, Any]:
        """The `stage.json` of a finished stage."""
        record: dict[str, Any] = read_json(self.folder(kind, fingerprint) / RECORD, error=RunError)
        return record

    def partial_folder(self, kind: str, fingerprint: str) -> Path:
        """Where the unfinished stage is, or would be."""
        folder = self.folder(kind, fingerprint)
        return folder.with_name(folder.name + PARTIAL)

    @contextmanager
    def partial(
        self, kind: str, fingerprint: str, *, resumes: bool, say: Callable[[str], None]
    ) -> Iterator[Partial | None]:
        """Hold a stage to make it; gives None if another process finished it while this one waited.

        Args:
            resumes: go on in what an earlier process left; otherwise start anew.
            say: told who holds the stage, while waiting.

        Raises:
            RunError: the store cannot be written.
        """
        with self._held(self.folder(kind, fingerprint).name, say):
            if self.is_stored(kind, fingerprint):
                yield None
                return
            self._set_aside(self.folder(kind, fingerprint))
            partial = Partial(self.partial_folder(kind, fingerprint), resumes=resumes)
            try:
                yield partial
            finally:
                if partial.path.exists():
                    partial.pause()

    def seal(self, partial: Partial, ingredients: Ingredients) -> Path:
        """Turn a partial folder into a finished stage in one move, durable against a power cut."""
        sessions = partial.sessions()
        (partial.path / SESSIONS).unlink(missing_ok=True)
        record = {
            **asdict(ingredients),
            "fingerprint": ingredients.fingerprint,
            "files": _files(partial.path),
            "seconds": round(sum(session["seconds"] for session in sessions), 1),
            "sessions": sessions,
            "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "host": {"name": socket.gethostname(), "cpus": os.cpu_count()},
            "versions": _versions(),
        }
        write_json(partial.path / RECORD, record)
        folder = self.folder(ingredients.kind, ingredients.fingerprint)
        with user_errors(folder):
            _sync_tree(partial.path)
            partial.path.rename(folder)
            sync(self.root)
        return folder

    def all(self) -> list[Entry]:
        """Every folder of the store, by name."""
        if not self.root.is_dir():
            return []
        with user_errors(self.root):
            folders = [path for path in sorted(self.root.iterdir()) if path.is_dir() and path.name[0] != "."]
        entries = []
        for path in folders:
            with suppress(FileNotFoundError):  # it was finished, or removed, meanwhile
                entries.append(self._entry(path))
        return entries

    def _entry(self, path: Path) -> Entry:
        stage = path.name.removesuffix(PARTIAL).removesuffix(DAMAGED)
        state: State = "stored"
        holder = None
        if path.name.endswith(PARTIAL):
            holder = self.holder(stage)
            state = "running" if holder else "partial"
        elif path.name.endswith(DAMAGED) or folder_damage(path):
            state = "damaged"
        stats = _stats(path)
        kind = stage.rpartition("-")[0]
        size = sum(one.st_size for one in stats)
        return Entry(path.name, kind, path, state, holder, size, _newest(path, stats))

    def holder(self, name: str) -> Holder | None:
        """Who holds the lock of the stage of this name now, or None."""
        lock = self._lock(name)
        if not Path(lock.lock_file).exists():
            return None
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return self._noted(name) or Holder(0, "unknown host", time.time())
        except OSError:  # a store that may only be read
            return None
        lock.release()
        return None

    def remove(self, entry: Entry) -> None:
        """Delete one folder, whole or not at all to its readers.

        Raises:
            RunError: somebody is working on it, or it cannot be deleted.
        """
        stage = entry.name.removesuffix(PARTIAL).removesuffix(DAMAGED)
        lock = self._lock(stage)
        with user_errors(entry.path):
            try:
                lock.acquire(timeout=0)
            except Timeout:
                raise RunError(
                    f"it is in use by {self._noted(stage) or 'another process'}",
                    where=str(entry.path),
                    expected="a stage nobody works on",
                    advice="Wait until it is done, or stop that process.",
                ) from None
            try:
                going = entry.path.with_name(f".{entry.name}.going")
                shutil.rmtree(going, ignore_errors=True)
                entry.path.rename(going)
                shutil.rmtree(going)
            finally:
                lock.release()

    def _lock(self, name: str) -> FileLock:
        return FileLock(self.root / LOCKS / f"{name}.lock")

    def _noted(self, name: str) -> Holder | None:
        note = self.root / LOCKS / f"{name}.json"
        try:
            return Holder(**read_json(note))
        except (MtkitError, TypeError):
            return None

    @contextmanager
    def _held(self, name: str, say: Callable[[str], None]) -> Iterator[None]:
        """Hold a stage's lock; wait for it if another process does, saying who."""
        lock, note = self._lock(name), self.root / LOCKS / f"{name}.json"
        self._acquire(lock, name, say)
        try:
            write_json(note, asdict(Holder(os.getpid(), socket.gethostname(), round(time.time(), 1))))
            yield
        finally:
            with suppress(OSError):
                note.unlink(missing_ok=True)
            lock.release()

    def _acquire(self, lock: FileLock, name: str, say: Callable[[str], None]) -> None:
        told: Holder | None = None
        with user_errors(self.root):
            Path(lock.lock_file).parent.mkdir(parents=True, exist_ok=True)
            while True:
                try:
                    lock.acquire(timeout=0)
                except Timeout:
                    holder = self._noted(name)
                    if holder is not None and holder != told:
                        say(f"waiting for {name}: {holder} works on it")
                        told = holder
                    time.sleep(WAIT_SECONDS)
                else:
                    return

    def _set_aside(self, folder: Path) -> None:
        """Move a damaged stage out of the way; only the latest is kept."""
        with user_errors(folder):
            if folder.exists():
                aside = folder.with_name(folder.name + DAMAGED)
                shutil.rmtree(aside, ignore_errors=True)
                folder.rename(aside)


def folder_damage(folder: Path, *, verify: bool = False) -> str | None:
    """What is wrong with a finished stage's folder, or None: a missing record, missing or changed files."""
    try:
        files = {
            name: (int(facts["bytes"]), str(facts["sha256"]))
            for name, facts in dict(read_json(folder / RECORD)["files"]).items()
        }
    except MtkitError as error:
        return f"{RECORD}: {error.found}"
    except (KeyError, TypeError, ValueError):
        return f"{RECORD} does not list the files"
    for name, (count, digest) in files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if path.stat().st_size != count:
            return f"{name} has {path.stat().st_size:,} bytes instead of {count:,}"
        if verify and sha256(path) != digest:
            return f"{name} is not the file that was stored (its SHA-256 differs)"
    return None


def _all_files(folder: Path) -> list[Path]:
    found = (Path(place) / name for place, _, names in os.walk(folder) for name in names)
    return sorted(path for path in found if path.is_file() and not path.name.startswith(IN_USE))


def _stats(folder: Path) -> list[os.stat_result]:
    """Of every file that stays long enough: others may be at work here."""
    found = []
    for path in _all_files(folder):
        with suppress(FileNotFoundError):
            found.append(path.stat())
    return found


def _files(folder: Path) -> dict[str, dict[str, Any]]:
    """Path → hash and size of every file of a stage."""
    return {
        path.relative_to(folder).as_posix(): {"sha256": sha256(path), "bytes": path.stat().st_size}
        for path in _all_files(folder)
        if path != folder / RECORD
    }


def _newest(folder: Path, stats: Sequence[os.stat_result] = ()) -> float:
    """When the newest of a folder's files was written, or the folder if it has none; `stats`: theirs."""
    return max(one.st_mtime for one in stats or _stats(folder) or [folder.stat()])


def _sync_tree(folder: Path) -> None:
    for path in [*_all_files(folder), *(p for p in folder.rglob("*") if p.is_dir()), folder]:
        sync(path)


def _versions() -> dict[str, str]:
    versions = {"mtkit": __version__, "python": python_version()}
    for library in LIBRARIES:
        with suppress(PackageNotFoundError):
            versions[library] = version(library)
    return versions
