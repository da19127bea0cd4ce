"""Running other programs under a clock: to their end, or as long as they are to learn. Knows no system."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mtkit.errors import RunError

LOOKING_SECONDS = 0.5  # between two looks at what a training has written
GRACE = 0.25  # share of the time for which a late checkpoint is waited, and at least half a minute
KEPT = 5  # newest checkpoints of a training
TAIL_LINES = 15  # of a log, shown when a program fails


@dataclass(frozen=True)
class Command:
    """A program to be run.

    Attributes:
        words: program and arguments.
        log: gets everything it says.
        environment: all of its variables.
        folder: where it runs; None: here.
    """

    words: Sequence[str]
    log: Path
    environment: Mapping[str, str]
    folder: Path | None = None


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint that stands for a time of training.

    Attributes:
        asked_minutes: the time that was to be measured.
        minutes: when the checkpoint was written, counted from the start of the command.
        path: of the checkpoint, a file or a folder.
    """

    asked_minutes: float
    minutes: float
    path: Path


def run_to_end(command: Command) -> float:
    """Run a program and return the seconds that it took.

    Raises:
        RunError: it failed.
    """
    started = time.monotonic()
    with _running(command) as process:
        status = process.wait()
    if status != 0:
        raise failed(command, f"ended with status {status}")
    return time.monotonic() - started


def run_with_snapshots(
    command: Command, minutes: Sequence[float], checkpoints: Callable[[], list[Path]]
) -> list[Snapshot]:
    """Let a training run, choose the first checkpoint that it writes at or after each time, then end it.

    So nobody gets less time than was asked for. A checkpoint that comes much too late is replaced by the
    newest there is. Older ones that are not chosen are deleted, so that the disk does not fill.

    Args:
        command: trains and writes checkpoints now and then, each complete as soon as it has its name.
        minutes: when to choose one, in ascending order.
        checkpoints: finds those that there are.

    Raises:
        RunError: the training ended before the last time, or wrote no checkpoint.
    """
    taken: list[Snapshot] = []
    started = time.time()  # the clock of the file system
    with _running(command) as process:
        while len(taken) < len(minutes):
            time.sleep(LOOKING_SECONDS)
            ended = process.poll() is not None
            asked, passed = minutes[len(taken)], time.time() - started
            ages = {path: path.stat().st_mtime - started for path in checkpoints()}
            path = choose(ages, asked * 60, last=ended or passed > asked * 60 + max(30.0, GRACE * asked * 60))
            if path is not None:
                taken.append(Snapshot(asked, ages[path] / 60, path))
            elif ended:
                raise failed(command, f"ended after {passed / 60:.1f} of {asked:g} minutes")
            _delete_old(ages, {snapshot.path for snapshot in taken})
    return taken


def choose(ages: Mapping[Path, float], seconds: float, *, last: bool) -> Path | None:
    """The checkpoint for a time.

    Args:
        ages: when each was written.
        seconds: the time.
        last: True if none after it is to be expected any more.

    Returns:
        The first at or after that time; if none is to be expected, the newest; None: not written yet.
    """
    by_age = sorted(ages, key=lambda path: ages[path])
    after = (path for path in by_age if ages[path] >= seconds)
    return next(after, by_age[-1] if last and by_age else None)


def _delete_old(ages: Mapping[Path, float], chosen: set[Path]) -> None:
    """Delete all but the newest few; a program that deletes by itself keeps fewer than that."""
    by_age = sorted(ages, key=lambda path: ages[path])
    for path in by_age[:-KEPT]:
        if path in chosen:
            continue
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@contextmanager
def _running(command: Command) -> Iterator["subprocess.Popen[bytes]"]:
    """The program at work, in a process group of its own; whatever is left of it at the end is ended."""
    command.log.parent.mkdir(parents=True, exist_ok=True)
    with (
        command.log.open("ab") as log,
        subprocess.Popen(
            list(command.words),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=dict(command.environment),
            cwd=command.folder,
            start_new_session=True,
        ) as process,
    ):
        try:
            yield process
        finally:
            _end(process)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ask the group to end, then end it."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        if process.poll() is not None:
            return
        os.killpg(process.pid, sign)
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            continue


def failed(command: Command, what: str) -> RunError:
    """An error that shows the end of the log."""
    lines = command.log.read_text("utf-8", errors="replace").splitlines() if command.log.exists() else []
    return RunError(
        f"`{' '.join(command.words[:4])} …` {what}",
        where=str(command.log),
        expected="that it does its work",
        advice="\n  ".join(["Its last lines:", *lines[-TAIL_LINES:]]),
    )
