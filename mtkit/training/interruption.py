"""Ctrl-C and SIGTERM: stop at once where nothing is being changed, and otherwise as soon as it is changed."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mtkit.training.processes import ONE_PROCESS, Processes

SIGNALS = (signal.SIGINT, signal.SIGTERM)
# Two SIGTERMs so close are one stop: a launcher's, and one that the machine sends everybody.
SAME_STOP_SECONDS = 1.0


class Interrupted(KeyboardInterrupt):
    """Training was broken off where its last boundary between two updates is still in memory."""


class Interruption:
    """Turns the first SIGINT or SIGTERM into an Interrupted inside `allowed`; the second acts at once.

    But a SIGTERM that follows within a second is one with the first.

    A training changes its weights only in a step. While it computes gradients or validates, the last
    boundary between two updates is still in memory: it can be interrupted there and write a checkpoint.

    Several processes stop together, at the beginning of the next such stretch: within one, none may leave
    the others alone.

    Args:
        processes: that train together.
    """

    def __init__(self, processes: Processes = ONE_PROCESS) -> None:
        self._processes = processes
        self._asked = False
        self._asked_at = 0.0  # s
        self._allowed = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        # Python lets only the main thread handle signals; elsewhere they stay as they are.
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore(*self._before)

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """A stretch that may be broken off anywhere.

        Raises:
            Interrupted: a signal came, now or since the last such stretch.
        """
        self._allowed = self._processes.is_alone
        try:
            if any(self._processes.any(self._asked)):
                raise Interrupted
            yield
        finally:
            self._allowed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self._asked:  # SIGTERM alone comes here twice
            if time.monotonic() - self._asked_at >= SAME_STOP_SECONDS:
                self._restore(*self._before)
                signal.raise_signal(number)
            return
        self._asked, self._asked_at = True, time.monotonic()
        self._restore(signal.SIGINT)
        if self._allowed:
            raise Interrupted

    def _restore(self, *numbers: signal.Signals) -> None:
        for number in numbers:
            if number in self._before:
                signal.signal(number, self._before.pop(number))
