"""Ctrl-C and SIGTERM: stop at once where nothing is being changed, and otherwise as soon as it is changed."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mtkit.training.processes import ONE_PROCESS, Processes

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption:
    """Turns the first SIGINT or SIGTERM into a KeyboardInterrupt inside `allowed`; the second acts at once.

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
        self._allowed = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "Interruption":
        # Python lets only the main thread handle signals; elsewhere they stay as they are.
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, *_: object) -> None:
        self._restore()

    @contextmanager
    def allowed(self) -> Iterator[None]:
        """A stretch that may be broken off anywhere.

        Raises:
            KeyboardInterrupt: a signal came, now or since the last such stretch.
        """
        self._allowed = self._processes.is_alone
        try:
            if any(self._processes.any(self._asked)):
                raise KeyboardInterrupt
            yield
        finally:
            self._allowed = False

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        self._restore()
        if self._allowed:
            raise KeyboardInterrupt

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
