"""A file of translations that is not finished: how far it is, what made it, and going on in it.

Beside the file stands `FILE.unfinished` until every line is translated: JSON lines, the first with what
makes the translations, the others each with a window that was begun to be written: how many units (lines,
or blocks of a document) there are with it, what they hold and how they are laid out, which flags they had.
"""

import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, cast

from mtkit.errors import DataError, RecipeError, RunError
from mtkit.files import user_errors, write_lines

NOTE_FORMAT = 2
_SHOWN_CHARACTERS = 60  # of a line that is not what it should be
_NAMED = {"converted": "conversion of the model"}  # what is noted → what a person calls it
_ENGINES = {"CTranslate2Engine": "ctranslate2", "TorchEngine": "torch"}  # … → as `--engine` calls it
_NO_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS, errno.EINVAL)  # of file systems that hold nothing


def note_of(path: Path) -> Path:
    """Where the note about an unfinished file stands."""
    return path.with_name(f"{path.name}.unfinished")


@dataclass(frozen=True)
class Window:
    """What the note says of a window: `units` with it, SHA-256 of their `source`, `flags` of the window."""

    units: int
    source: str
    flags: dict[str, int]


@dataclass
class Note:
    """What is noted beside an unfinished file.

    Attributes:
        made_by: what makes the translations: name → value.
        windows: by their `units`.
        format: of the note.
    """

    made_by: dict[str, Any]
    windows: dict[int, Window] = field(default_factory=dict)
    format: int = NOTE_FORMAT

    @classmethod
    def read(cls, path: Path) -> "Note | None":
        """The note, or None if there is none that can be read; a last line cut short is left out."""
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            first, *others = [json.loads(line) for line in raw.split(b"\n")[:-1]]
            windows = [Window(**other) for other in others]
            return cls(first["made_by"], {window.units: window for window in windows}, first["format"])
        except (ValueError, TypeError, KeyError):
            return None

    def changed(self, made_by: Mapping[str, Any]) -> Iterator[str]:
        """What was noted and is different now, as `name then → now`; of long values the name alone."""
        if self.format != NOTE_FORMAT:
            yield f"format of the note {self.format} → {NOTE_FORMAT}"
        engine = made_by.get("engine")
        is_another_engine = self.made_by.get("engine", engine) != engine  # which has other files, of course
        for name, then in self.made_by.items():
            now = made_by.get(name)
            if then == now or (name == "converted" and is_another_engine):
                continue
            shown = f"{_shown(then)} → {_shown(now)}"
            named = _NAMED.get(name, name)
            yield f"another {named}" if len(shown) > _SHOWN_CHARACTERS else f"{named} {shown}"


def _shown(value: object) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "unset"}[value]
    return _ENGINES.get(value, value) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


class Unfinished:
    """A file that translations are written to, with its note.

    Args:
        path: the file.
        made_by: what makes the translations; JSON values.
        say: is told what a person should know.
        resume: True to go on in the file; False to begin it anew.
        unit: what a unit is called: `line` or `block`.

    Attributes:
        is_noted: a note says that the same made what is in the file.

    Raises:
        RecipeError: the file was begun with something else.
        RunError: it cannot be written, or another process is writing to it.
    """

    def __init__(
        self,
        path: Path,
        made_by: Mapping[str, Any],
        say: Callable[[str], None],
        *,
        resume: bool,
        unit: str = "line",
    ) -> None:
        self.path = path
        self._unit = unit
        self.units = 0  # that windows were begun for
        self._note_path = note_of(path)
        self._digest = hashlib.sha256()
        self._is_kept = path.is_file() or not path.exists()  # unlike a pipe or a device, which has no note
        resume = resume and self._is_kept
        with user_errors(path):
            self._stream = _held(path, anew=not resume) if self._is_kept else cast(BinaryIO, path.open("wb"))
            is_empty = not self._is_kept or not self._stream.read(1)
        if self._is_kept and is_empty:  # a note that is there is of something else
            with user_errors(self._note_path):
                self._note_path.unlink(missing_ok=True)
        found = None if is_empty else Note.read(self._note_path)
        if found and (changed := "; ".join(found.changed(made_by))):
            self._stream.close()
            raise _begun_otherwise(path, changed)
        if not is_empty and not found:
            say(f"{path}: there is no note of which model and options made it; they are taken to be the same")
        if resume:
            self._stream.seek(0)
        self.is_noted = found is not None
        self._known = found.windows if found else {}
        self._there = 0  # units found in the file so far
        self._noted_to = 0  # units of noted windows that have been met
        self._held: list[Window] = []  # of them, those of which something is in the file
        self._resuming = resume
        self._made_by = dict(made_by)
        self._notes: BinaryIO | None = None  # opened when there is something to write

    def _begin_note(self) -> BinaryIO:
        lines = [{"format": NOTE_FORMAT, "made_by": self._made_by}]
        lines += [vars(window) for window in self._held]
        # in ASCII: options may hold what is no character
        write_lines(self._note_path, (json.dumps(line) for line in lines))
        return self._note_path.open("ab")

    def already(self, sources: Sequence[str], shapes: Sequence[Sequence["Fits"]]) -> "Already":
        """What is there of a window; what is there of its first unit that is not whole is cut off.

        Args:
            sources: the units' text, and what else their output is made of.
            shapes: for each unit, a check for each of its output lines.

        Raises:
            DataError: what is there is not of the format, or the text has changed since.
        """
        first, whole, begins = self.units, 0, None
        while self._resuming and whole < len(sources):
            start = self._stream.tell()
            if not self._has(shapes[whole], first + whole + 1):
                self._stream.seek(start)
                self._stream.truncate()
                self._resuming = False
            else:
                whole += 1
        self._there += whole
        for source in sources:
            self._digest.update(source.encode("utf-8", "surrogatepass") + b"\n")
            self.units += 1
            begins = self._compare(self._known.get(self.units))
        same = whole > 0 and begins == first  # as the window that is noted here
        return Already(whole, Counter(self._known[self.units].flags) if same else None)

    def _compare(self, known: Window | None) -> int | None:
        """Make sure that a noted window that ends here was of the same text, if some of it is in the file.

        Returns:
            how many units came before that window; None: none ends here.
        """
        if known is None:
            return None
        begins = self._noted_to
        if begins < self._there:
            if known.source != self._digest.hexdigest():
                raise _other_text(self.path, f"{self._unit} {begins:,}")
            self._held.append(known)
        self._noted_to = self.units
        return begins

    def _has(self, shapes: Sequence["Fits"], unit: int) -> bool:
        """True if the next lines of the file are there, whole; they must be of the format."""
        for fits in shapes:
            line = self._stream.readline()
            if not line.endswith(b"\n"):
                return False
            if not fits(line[:-1]):
                raise _other_format(self.path, f"{self._unit} {unit:,}", line)
        return True

    def begin(self, flags: Mapping[str, int]) -> None:
        """Note that the window that `already` was asked for is about to be written."""
        if not self._is_kept:
            return
        window = Window(self.units, self._digest.hexdigest(), dict(flags))
        with user_errors(self._note_path):
            self._notes = self._notes or self._begin_note()
            self._notes.write(json.dumps(vars(window)).encode() + b"\n")
            self._notes.flush()

    def write(self, lines: Sequence[str]) -> None:
        """Write the output lines of a unit."""
        with user_errors(self.path):
            self._stream.write("".join(line + "\n" for line in lines).encode("utf-8"))
            self._stream.flush()

    def finish(self) -> None:
        """Every line is translated: the note goes.

        Raises:
            DataError: the file went on behind the last unit.
        """
        if self._resuming and self._stream.read(1):
            raise _longer_than_the_text(self.path, self.units, f"{self._unit}s")
        if self._is_kept:
            self._note_path.unlink(missing_ok=True)

    def close(self) -> None:
        """Close the files."""
        with user_errors(self.path):  # on a full disk, what could not be written is tried once more
            self._stream.close()
        if self._notes is not None:
            with user_errors(self._note_path):
                self._notes.close()


Fits = Callable[[bytes], bool]


def _held(path: Path, *, anew: bool) -> BinaryIO:
    """The file, empty if `anew`; nobody else opens it so until it is closed or the process has died."""

    def create(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_CREAT, 0o666)

    stream = cast(BinaryIO, open(path, "r+b", opener=create))  # noqa: SIM115  # `close` closes it
    try:
        if not _hold(stream):
            raise _written_by_another(path)
        if anew:
            stream.truncate()
    except BaseException:
        stream.close()
        raise
    return stream


def _hold(stream: BinaryIO) -> bool:
    """Hold a file against others who would; False if one of them does.

    The file itself; filelock, which holds folders, holds files that it makes and takes away again.
    """
    try:
        from fcntl import LOCK_EX, LOCK_NB, flock
    except ImportError:  # a system without, where nothing is held
        return True
    try:
        flock(stream, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise
    return True


@dataclass(frozen=True)
class Already:
    """What an unfinished file has of a window: so many whole units, and the flags of the window if noted."""

    units: int
    flags: Counter[str] | None = None


def _begun_otherwise(path: Path, changed: str) -> RecipeError:
    return RecipeError(
        f"begun with something else: {changed}",
        where=str(path),
        expected="the model and the options with which the file was begun",
        advice=f"Use them, or begin anew with `--output {path}`; without {note_of(path).name} nothing is"
        " compared.",
    )


def _written_by_another(path: Path) -> RunError:
    return RunError(
        "another process is writing translations to this file",
        where=str(path),
        expected="one process at a time for a file; nothing was changed",
        advice="Wait until it is done or stop it, and go on with `--resume`; or choose another file.",
    )


def _other_format(path: Path, unit: str, line: bytes) -> DataError:
    shown = line[:_SHOWN_CHARACTERS].decode("utf-8", "replace").rstrip("\n")
    return DataError(
        f"what stands for {unit} of the text is not what these options write: {shown!r}",
        where=str(path),
        expected="translations in the format of --scores, --n-best, --json and --document, line after line",
        advice=f"Use the options with which it was begun, or begin anew with `--output {path}`.",
    )


def _other_text(path: Path, after: str) -> DataError:
    return DataError(
        f"the text has changed since the file was begun: there is a difference after {after}",
        where=str(path),
        expected="the text that was being translated; lines may have been added at its end",
        advice=f"Give that text, or begin anew with `--output {path}`.",
    )


def _longer_than_the_text(path: Path, count: int, units: str) -> DataError:
    return DataError(
        f"there are translations after the last of {count:,} {units} of text",
        where=str(path),
        expected=f"at most as many translations as there are {units}",
        advice=f"Give the text that was being translated, or begin anew with `--output {path}`.",
    )
