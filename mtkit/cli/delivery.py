"""Translations on their way out: to stdout or to a file, in order, and never half of what is ready."""

import os
import signal
import stat
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mtkit.errors import FlagError, MtkitError, RecipeError, RunError
from mtkit.files import atomic, user_errors
from mtkit.log import duration
from mtkit.translation.flags import FLAGS, HARMLESS_FLAGS
from mtkit.translation.flow import one_ahead
from mtkit.translation.resuming import Already, Fits, note_of

if TYPE_CHECKING:
    from mtkit.translation.flow import Window
    from mtkit.translation.translation import Translation
    from mtkit.translation.translator import Begun, Prepared, Translator
    from mtkit.translation.units import Unit, Units

ALL_STRICT = "all"
SHOWN_LINES = 5  # of those with a flag that is not allowed
_COMPRESSED = (".gz", ".xz", ".zst")


class Sink(Protocol):
    """Where translations go; `resuming.Unfinished` is one."""

    def already(self, sources: Sequence[str], shapes: Sequence[Sequence[Fits]]) -> Already:
        """What is there of the next window."""
        ...

    def begin(self, flags: Mapping[str, int]) -> None:
        """The window that `already` was asked for is about to be written."""
        ...

    def write(self, lines: Sequence[str]) -> None:
        """Write lines so that whoever reads has them."""
        ...


class Stdout:
    """The standard output; nothing is there already."""

    def already(self, sources: Sequence[str], shapes: Sequence[Sequence[Fits]]) -> Already:
        """As the protocol says."""
        return Already(0)

    def begin(self, flags: Mapping[str, int]) -> None:
        """As the protocol says."""

    def write(self, lines: Sequence[str]) -> None:
        """As the protocol says."""
        out = sys.stdout.buffer
        out.write("".join(line + "\n" for line in lines).encode("utf-8"))
        out.flush()


def strict_flags(given: str | None) -> frozenset[str]:
    """The flags that `--strict` does not allow.

    Args:
        given: what was given with it: flags with commas between them, or ALL_STRICT; None: nothing.

    Raises:
        RecipeError: there is no such flag, or none is named.
    """
    if given is None:
        return frozenset()
    if given == ALL_STRICT:
        return frozenset(FLAGS).difference(HARMLESS_FLAGS)
    names = [name.strip() for name in given.split(",") if name.strip()]
    if not names:
        raise RecipeError(
            f"{given!r} names no flag",
            where="--strict",
            expected=f"some of {', '.join(FLAGS)}",
            advice="Name flags with commas between them, or write --strict alone for all that do harm.",
        )
    for name in names:
        if name not in FLAGS:
            from mtkit.config.nearest import did_you_mean

            raise RecipeError(
                f"{name!r} is no flag",
                where="--strict",
                expected=f"some of {', '.join(FLAGS)}",
                advice=did_you_mean(name, FLAGS) or "Name flags with commas between them.",
            )
    return frozenset(names)


class Tally:
    """How many translations there are with which flags, how fast, and where flags are that may not be.

    Args:
        strict: flags that no translation may have.
        unit: what is counted: `line` or `block`.
    """

    def __init__(self, strict: frozenset[str], unit: str = "line") -> None:
        self.strict = strict
        self.unit = unit
        self._started = time.monotonic()
        self.translations = 0
        self.resumed = 0  # of them, those that were there already
        self.flags: Counter[str] = Counter()
        self._lines: list[int] = []
        self._unknown = 0  # translations that were there already, with nothing noted of their flags

    def add(self, already: Already, translations: Sequence["Translation"]) -> None:
        """Count a window: what was there already of it, and its translations unless all was there."""
        self.resumed += already.units
        if not translations:
            self.translations += already.units
            self.flags.update(already.flags or ())
            self._unknown += already.units if already.flags is None else 0
        for translation in translations:
            self.translations += 1
            self.flags.update(translation.flags)
            if len(self._lines) <= SHOWN_LINES and self.strict.intersection(translation.flags):
                self._lines.append(self.translations)

    def line(self) -> str:
        """What is said at the end; flags in their usual order, those that never occurred left out."""
        seconds = time.monotonic() - self._started
        units = self.unit if self.translations == 1 else f"{self.unit}s"
        lines = f"{self.translations:,} {units} in {duration(seconds)}"
        if self.resumed:
            lines += f" · {self.resumed:,} of them were there already"
        flags = [f"{self.flags[flag]:,} {flag}" for flag in FLAGS if self.flags[flag]]
        return " · ".join([lines, *flags])

    def check(self, where: str) -> None:
        """Raises FlagError if there is a flag that is not allowed.

        Args:
            where: where the translations were written.
        """
        found = [f"{self.flags[flag]:,} {flag}" for flag in FLAGS if flag in self.strict and self.flags[flag]]
        if not found:
            self._check_known(where)
            return
        shown = ", ".join(f"{number:,}" for number in self._lines[:SHOWN_LINES])
        places = f" ({self.unit} {shown}{', …' if len(self._lines) > SHOWN_LINES else ''})" if shown else ""
        raise FlagError(
            f"translated as a whole, with flags that --strict does not allow: {', '.join(found)}{places}",
            where=where,
            expected="no translation with one of these flags",
            advice=f"Look at these {self.unit}s; with --json each says its flags."
            " docs/translating.md explains them.",
        )

    def _check_known(self, where: str) -> None:
        if self.strict and self._unknown:
            raise FlagError(
                f"translated as a whole, but {self._unknown:,} translations were there already, and nothing"
                " is noted of their flags",
                where=where,
                expected="translations whose flags are known: those of a run that was broken off",
                advice="Translate anew with --output, or leave --strict out.",
            )


def deliver(
    translator: "Translator",
    units: "Units",
    windows: Iterator["Window[Prepared]"],
    sink: Sink,
    tally: Tally,
) -> None:
    """Translate window after window, write what is not there yet, and count."""

    def enter(window: list["Prepared"], begun: "Begun | None") -> _Entered | None:
        taken = units.take(len(window))
        given = [_given(one, unit) for one, unit in zip(window, taken, strict=True)]
        already = sink.already(given, [unit.shapes() for unit in taken])
        if already.units == len(window):
            tally.add(already, [])
            return None
        return _Entered(taken, already, begun or translator.begin(window))

    def finish(entered: _Entered) -> None:
        translations = translator.finish(entered.begun)
        with interruptions_wait():
            sink.begin(Counter(flag for one in translations for flag in one.flags))
            rest = list(zip(entered.units, translations, strict=True))[entered.already.units :]
            sink.write([line for unit, one in rest for line in unit.written(one)])
            tally.add(entered.already, translations)

    for _ in one_ahead(windows, translator.begin, enter, finish):
        pass


def _given(prepared: "Prepared", unit: "Unit") -> str:
    """What output is made of: the source; how it must begin, if that is said; and a block's lines."""
    return "\t".join([prepared.source, *map(str, filter(None, (prepared.prefix, unit.layout)))])


class _Entered(NamedTuple):
    """A window that is being translated: its units, what is there of it already, and its search."""

    units: Sequence["Unit"]
    already: Already
    begun: "Begun"


@contextmanager
def interruptions_wait() -> Iterator[None]:
    """Ctrl-C within the block takes effect at its end; a second one at once."""
    ignored = signal.getsignal(signal.SIGINT) in (signal.SIG_IGN, None)
    if ignored or threading.current_thread() is not threading.main_thread():
        yield
        return
    asked = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal asked
        asked = True
        signal.signal(signal.SIGINT, before)

    before = signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        raise KeyboardInterrupt


def check_output(source: Path | None, output: Path | None) -> None:
    """Refuse what would destroy the text, before anything is opened for writing.

    Args:
        source: the text; None: stdin.
        output: the file of translations; None: stdout.

    Raises:
        RecipeError: text and translations are the same file, or the name says that it is compressed.
        RunError: the file, or the note beside it, cannot be written; or stdout is closed.
    """
    if output is None and str(getattr(sys.stdout, "name", "")) == os.devnull:  # in the place of a closed one
        raise RunError(
            "it is closed, and translations would go nowhere",
            where="stdout",
            expected="somewhere to write them",
            advice="Leave `>&-` out, or name a file with --output.",
        )
    if output is not None and output.suffix in _COMPRESSED:
        raise RecipeError(
            f"translations are written as plain text, not as {output.suffix}",
            where=f"--output {output}",
            expected="a name without that ending",
            advice="Write plain text and compress it afterwards, or write to stdout and pipe it.",
        )
    if output is not None:
        _check_writable(output)
    reading, writing = _status(source, 0), _status(output, 1)
    noting = None if output is None else _status(note_of(output), 1)
    for written, what in ((writing, "its translations"), (noting, f"the note beside {output}")):
        if reading is None or written is None or not stat.S_ISREG(written.st_mode):
            continue
        if os.path.samestat(reading, written):
            raise RecipeError(
                f"the text and {what} are the same file",
                where=str(output or source or "stdin and stdout"),
                expected="a file of its own for the translations: the text would be lost while it is read",
                advice="Name another file for the output.",
            )


def _status(path: Path | None, handle: int) -> os.stat_result | None:
    try:
        return path.stat() if path is not None else os.fstat(handle)
    except OSError:  # not there, which is told elsewhere if it matters
        return None


def _check_writable(path: Path) -> None:
    """Raises if the file cannot be written; a file that is there is not changed, none is left behind."""
    if not path.parent.is_dir():
        raise RecipeError(
            "there is no such folder to write to",
            where=f"--output {path}",
            expected=f"a folder {path.parent}",
            advice="Make the folder, or choose another place.",
        )
    is_new = not os.path.lexists(path)
    if not (is_new or path.is_file() or path.is_dir()):
        return  # a pipe or a device
    with user_errors(path, makes=True):
        path.open("ab").close()
        if is_new:
            path.unlink()
    _check_note(note_of(path))


def _check_note(note: Path) -> None:
    """Raises if a file's note cannot be made; one that is there is not changed, none is left behind."""
    try:
        with suppress(_EnoughError), atomic(note):
            raise _EnoughError
        with user_errors(note):
            if note.is_dir():
                raise IsADirectoryError
    except MtkitError as error:
        raise RunError(
            f"no note can be made of how far the translations are: {error.found}",
            where=str(note),
            expected="beside the translations, until they are whole: a folder that takes new files, a free"
            " name that is not too long",
            advice="Choose another folder or a shorter name, or write to stdout (`> FILE`).",
        ) from error


class _EnoughError(Exception):
    """A file could be begun, and shall not be."""
