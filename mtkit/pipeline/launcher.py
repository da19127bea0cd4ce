"""Starts several processes of one command on this machine, and watches them: what `--processes N` does.

Light: the processes import torch, this one does not. How they meet and what they do is not known here.
"""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from mtkit.errors import RunError
from mtkit.log import say
from mtkit.training.place import ANSWER_SECONDS, LAUNCHER, LOST

LOOK_SECONDS = 0.05
GRACE_SECONDS = 5.0  # for the others to find out by themselves that one is gone
KILL_SECONDS = 3.0  # from asking to stop until making stop
INTERRUPTED = 130
LOOPBACK = "lo"
ERRORS_SHOWN = 4000  # characters
GOES_ON = "The same command goes on from the last checkpoint."


class Child:
    """One of the processes.

    Args:
        rank: its number.
        command: to run.
        environment: to run it in.
        descriptors: that it inherits.
    """

    def __init__(
        self, rank: int, command: Sequence[str], environment: dict[str, str], descriptors: tuple[int, ...]
    ) -> None:
        self.rank = rank
        self.ended: float | None = None
        # rank 0 alone talks; what another says on stderr is shown if it was the cause of a failure
        self._errors: IO[bytes] | None = tempfile.TemporaryFile() if rank else None  # noqa: SIM115
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=self._errors,
            stderr=self._errors,
            pass_fds=descriptors,
            start_new_session=True,  # Ctrl-C reaches the launcher alone, which passes it on
        )

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid

    @property
    def code(self) -> int | None:
        """Exit code, or minus the signal that ended it; None while it runs."""
        if self._process.poll() is not None and self.ended is None:
            self.ended = time.monotonic()
        return self._process.returncode

    def send(self, number: signal.Signals) -> None:
        """Send a signal, unless it has ended."""
        if self.code is None:
            self._process.send_signal(number)

    def said(self) -> str:
        """The end of what it said on stderr; nothing for rank 0, whose talk is seen."""
        if self._errors is None:
            return ""
        self._errors.seek(0)
        return self._errors.read().decode(errors="replace").strip()[-ERRORS_SHOWN:]

    def close(self) -> None:
        """End it, if it has not ended by itself, and let its file go."""
        self.send(signal.SIGKILL)
        self._process.wait()
        if self._errors is not None:
            self._errors.close()


class Launcher:
    """Several processes of one command.

    Args:
        count: how many.
        command: what each runs; which of them it is, it reads from its environment.
    """

    def __init__(self, count: int, command: Sequence[str]) -> None:
        self._signals: list[signal.Signals] = []
        self._passed_on = 0
        self._stops_since: float | None = None
        self._ended_here: list[Child] = []
        watched, self._watching = os.pipe()
        with socket.create_server(("127.0.0.1", 0), backlog=count) as listening:
            self.children = [
                Child(rank, command, *_surroundings(rank, count, listening, watched)) for rank in range(count)
            ]
        os.close(watched)

    def wait(self) -> int:
        """Until all have ended; signals to this process are passed on meanwhile.

        Returns:
            the exit code; what there was to tell has been told.

        Raises:
            RunError: a process was ended from outside, or stood still.
        """
        before = {number: signal.signal(number, self._note) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            while any(child.code is None for child in self.children):
                self._pass_on()
                self._stop_what_is_left()
                time.sleep(LOOK_SECONDS)
            return self._outcome()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            for child in self.children:
                child.close()
            os.close(self._watching)

    def _note(self, number: int, _frame: Any) -> None:
        self._signals.append(signal.Signals(number))

    def _pass_on(self) -> None:
        """The first signal to rank 0, which stops all in an orderly way; the next to everybody."""
        for number in self._signals[self._passed_on :]:
            for child in self.children[:1] if self._passed_on == 0 else self.children:
                child.send(number)
            self._passed_on += 1

    def _stop_what_is_left(self) -> None:
        """Once one has failed or rank 0 has ended, the others find out by themselves or are ended."""
        stopped = (0, INTERRUPTED) if self._signals else (0,)
        failed = [child for child in self.children if child.code is not None and child.code not in stopped]
        if not failed and self.children[0].code is None:
            return
        if self._stops_since is None:
            self._stops_since = time.monotonic()
        waited = time.monotonic() - self._stops_since
        for child in self.children:
            if child.code is None and waited >= GRACE_SECONDS:
                if child not in self._ended_here:
                    self._ended_here.append(child)
                    child.send(signal.SIGTERM)
                elif waited >= GRACE_SECONDS + KILL_SECONDS:
                    child.send(signal.SIGKILL)

    def _outcome(self) -> int:
        causes = [
            child
            for child in self.children
            if child not in self._ended_here and child.code not in (0, LOST, INTERRUPTED)
        ]
        if self._signals and all((child.code or 0) in (0, LOST, INTERRUPTED, -2, -15) for child in causes):
            return INTERRUPTED
        if not causes:
            return self._without_cause()
        cause = min(causes, key=lambda child: child.ended or 0.0)
        assert cause.code is not None
        if cause.code < 0:
            raise _ended_from_outside(cause)
        if cause.rank:
            say(f"rank {cause.rank}: {cause.said()}")
        return cause.code

    def _without_cause(self) -> int:
        """Nobody failed by itself: all is well, or somebody stood still while others waited in vain."""
        codes = [child.code for child in self.children]
        if LOST not in codes:
            return codes[0] or 0
        stood = ", ".join(str(child.rank) for child in self._ended_here)
        raise RunError(
            f"rank {stood} stood still, and was ended with the others"
            if stood
            else "the processes lost touch",
            where=_where(self._ended_here or self.children),
            expected=f"an answer within the time that {ANSWER_SECONDS} says (600 s unless it is set)",
            advice=f"See whether the machine is out of memory or the process was stopped. {GOES_ON}",
        )


def launch(count: int) -> int:
    """Run this very command in several processes on this machine.

    Args:
        count: how many.

    Returns:
        the exit code.

    Raises:
        RunError: a process was ended from outside, or stood still.
    """
    return Launcher(count, [sys.executable, "-m", "mtkit", *sys.argv[1:]]).wait()


def _surroundings(
    rank: int, count: int, listening: socket.socket, watched: int
) -> tuple[dict[str, str], tuple[int, ...]]:
    """A process's environment, and the file descriptors it inherits."""
    descriptors = (watched,) if rank else (listening.fileno(), watched)
    environment = {
        # of a torchrun that started this one, whose agent does not hold what these leave for each other
        **{name: value for name, value in os.environ.items() if not name.startswith("TORCHELASTIC_")},
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(listening.getsockname()[1]),
        LAUNCHER: f"{'' if rank else listening.fileno()},{watched}",
    }
    if Path(f"/sys/class/net/{LOOPBACK}").exists():
        environment.setdefault("GLOO_SOCKET_IFNAME", LOOPBACK)  # a host's name may lead nowhere
    return environment, descriptors


def _ended_from_outside(child: Child) -> RunError:
    assert child.code is not None
    name = signal.Signals(-child.code).name
    why = " SIGKILL is what the system sends when memory runs out." if name == "SIGKILL" else ""
    return RunError(
        f"rank {child.rank} was ended by {name}; the others were stopped",
        where=_where([child]),
        expected="every process to go on to the end",
        advice=f"{GOES_ON}{why}",
    )


def _where(children: Sequence[Child]) -> str:
    return f"process {', '.join(str(child.pid) for child in children)}"
