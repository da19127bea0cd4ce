"""Talk: one logger for people (stderr), one event writer for programs (JSON lines), one progress display.

Nothing here writes to stdout: that belongs to data.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

from mtkit.files import user_errors

PLAIN_SECONDS = 10.0  # between two progress lines where there is no terminal

_COPIES: list[TextIO] = []  # where talk is copied to while a stage runs


def say(text: str = "", *, quiet: bool = False) -> None:
    """One line of talk: on stderr unless `quiet`, and in every file that `copy_talk` has open."""
    if not quiet:
        with heard_or_not():
            print(text, file=sys.stderr, flush=True)
    for stream in _COPIES:
        stream.write(text + "\n")
        stream.flush()


@contextmanager
def heard_or_not() -> Iterator[None]:
    """Talk within the block ends no work where stderr takes no more; what is said after it goes nowhere."""
    try:
        yield
    except OSError:
        with suppress(OSError):  # a stream without a file, in tests
            leave(sys.stderr)


def leave(stream: TextIO) -> None:
    """Let a standard stream take anything and give it to nobody; what waits in it would fail at exit."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, stream.fileno())
    finally:
        os.close(nowhere)


@contextmanager
def copy_talk(path: Path) -> Iterator[None]:
    """Append all talk within the block to a file as well."""
    with user_errors(path):
        stream = path.open("a", encoding="utf-8")
    with stream:
        _COPIES.append(stream)
        try:
            yield
        finally:
            _COPIES.remove(stream)


class EventWriter:
    """Appends one JSON object a line to `events.jsonl`; each carries `event` and `seconds` since 1970.

    Args:
        path: the file, or None to drop every event.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self._stream: TextIO | None = None

    def write(self, event: str, **values: Any) -> None:
        """Append one event; a line is written whole or not at all."""
        if self.path is None:
            return
        with user_errors(self.path):
            if self._stream is None:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                begins = "\n" if _is_cut_short(self.path) else ""
                self._stream = self.path.open("a", encoding="utf-8")
                self._stream.write(begins)
            record = {"event": event, "seconds": round(time.time(), 3), **values}
            self._stream.write(json.dumps(record, ensure_ascii=False) + "\n")
            self._stream.flush()

    def close(self) -> None:
        """Close the file; a later write opens it again."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with suppress(OSError):  # what could not be written was told when it was to be
                stream.close()


def _is_cut_short(path: Path) -> bool:
    """True if the last line of a file has no end."""
    if not path.exists() or not path.stat().st_size:
        return False
    with path.open("rb") as stream:
        stream.seek(-1, os.SEEK_END)
        return stream.read() != b"\n"


def read_events(path: Path) -> list[dict[str, Any]]:
    """The events of a file; a last line cut short by a crash is left out."""
    if not path.exists():
        return []
    events = []
    with user_errors(path), path.open("r", encoding="utf-8", errors="replace") as stream:
        for line in stream:
            try:
                events.append(json.loads(line))
            except json.JSONDecodeError:
                continue
    return events


def duration(seconds: float) -> str:
    """A time span for people: `8 s`, `3 min 20 s`, `2 h 05 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


class Progress:
    """One task's progress: a live line on a terminal, a plain line now and then elsewhere.

    Args:
        title: what is being done, in a word or two.
        total: how many units there are, or None when it cannot be known.
        unit: the unit's name in the plural (`updates`, `lines`).
        clock: seconds, for tests.
    """

    def __init__(
        self,
        title: str,
        total: int | None,
        unit: str,
        *,
        done: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.title, self.total, self.unit = title, total, unit
        self.done = done
        self._first = done
        self._clock = clock
        self._started = clock()
        self._said = self._started
        self._facts = ""
        self._live: Any = None
        if is_terminal():
            self._live = _live_line()

    def advance(self, count: int = 1, facts: str = "") -> None:
        """Count `count` more units; `facts` is shown behind the rate (loss, score)."""
        self.done += count
        self._facts = facts or self._facts
        if self._live is not None:
            self._live.update(self.line())
        elif self._clock() - self._said >= PLAIN_SECONDS:
            self._said = self._clock()
            say(self.line())

    def line(self) -> str:
        """The present state in one line: counts, rate, time left, facts."""
        seconds = max(self._clock() - self._started, 1e-9)
        rate = (self.done - self._first) / seconds
        parts = [f"{self.title}: {self.done:,}"]
        if self.total is not None:
            parts[0] += f" of {max(self.total, self.done):,}"  # a total may have been an estimate
        parts[0] += f" {self.unit}"
        if rate > 0:
            parts.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.2g}/s")
            if self.total is not None and self.total >= self.done:
                parts.append(f"{duration((self.total - self.done) / rate)} left")
        if self._facts:
            parts.append(self._facts)
        return " · ".join(parts)

    def note(self, text: str) -> None:
        """Say lines above the progress line that stay."""
        if self._live is not None:
            with heard_or_not():
                self._live.console.print(text, markup=False, highlight=False, soft_wrap=True)
            say(text, quiet=True)
        else:
            say(text)

    def finish(self) -> None:
        """Leave the final state as an ordinary line."""
        if self._live is not None:
            self._live.update("")
        self.close()
        say(self.line())

    def close(self) -> None:
        """Take the live line away."""
        if self._live is not None:
            with heard_or_not():
                self._live.stop()
            self._live = None

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def is_terminal() -> bool:
    """True if a live display can be drawn on stderr."""
    return sys.stderr.isatty() and os.environ.get("TERM", "") != "dumb" and "CI" not in os.environ


def _live_line() -> Any:
    from rich.console import Console
    from rich.live import Live

    live = Live(console=Console(stderr=True, highlight=False), refresh_per_second=8, transient=True)
    with heard_or_not():
        live.start()
    return live


@dataclass(frozen=True)
class RunContext:
    """What a stage is run with and its result must not depend on, but for the seed.

    Attributes:
        seed: the recipe's seed, the root of every random decision.
        device: `cpu`, `cuda`, `cuda:1`, or `auto`.
        threads: CPU threads, or None to choose.
        events: where events go.
        quiet: True to say nothing but errors.
        processes: those that train together (`training/processes.py`), or None for this one alone.
    """

    seed: int = 1
    device: str = "auto"
    threads: int | None = None
    events: EventWriter = field(default_factory=lambda: EventWriter(None))
    quiet: bool = False
    processes: object | None = None

    def say(self, text: str) -> None:
        """One line of talk; a quiet run keeps it for the stage's log."""
        say(text, quiet=self.quiet)
