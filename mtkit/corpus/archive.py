"""Members of an archive (zip, wheel, tar.*) as streams; nothing is unpacked to where its name says.

An archive comes from strangers: names that leave the archive are refused, links are not followed, and an
archive that grows out of proportion when read is refused before it fills anything.
"""

import io
import re
import stat
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO, BinaryIO, NamedTuple

from mtkit.errors import DataError
from mtkit.files import CHUNK_BYTES, compression_errors, open_bytes, user_errors

# text shrinks to a third or a tenth; what grows more than this when read is no text
LARGEST_GROWTH = 100
ALWAYS_ALLOWED_BYTES = 64 * 1024 * 1024


def _damage() -> tuple[type[Exception], ...]:
    """What the libraries raise on bytes that are not what they should be."""
    return (zipfile.BadZipFile, tarfile.TarError, NotImplementedError, *compression_errors())


class Member(NamedTuple):
    """A file in an archive.

    Attributes:
        name: its path inside.
        stream: its bytes; only good until the next member is asked for.
    """

    name: str
    stream: BinaryIO


def members(path: Path, wanted: Callable[[str], bool]) -> Generator[Member, None, None]:
    """The wanted members of an archive or of a folder, by name; a plain file is a member of its own name.

    Raises:
        DataError: the archive is damaged or evil.
    """
    with user_errors(path):
        try:
            if path.is_dir():
                yield from _folder_members(path, wanted)
            elif zipfile.is_zipfile(path):
                yield from _zip_members(path, wanted)
            elif tarfile.is_tarfile(path):
                yield from _tar_members(path, wanted)
            elif wanted(path.name):
                with open_bytes(path) as stream:
                    yield Member(path.name, _Measured(stream, path))
        except _damage() as error:
            raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"the archive is damaged: {error}",
        where=str(path),
        expected="a complete zip, tar or compressed file",
        advice="Remove it and run the command again, so that it is fetched anew.",
    )


def _folder_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if wanted(name) and file.is_file() and not file.is_symlink():
            with open_bytes(file) as stream:
                yield Member(name, stream)


def _zip_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    with zipfile.ZipFile(path) as archive:
        allowed = _Allowance(path)
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            _check_name(info.filename, path)
            is_link = stat.S_ISLNK(info.external_attr >> 16)
            if is_link or info.is_dir() or not wanted(info.filename):
                continue
            with archive.open(info) as stream:
                yield Member(info.filename, _Measured(stream, path, allowed))


def _tar_members(path: Path, wanted: Callable[[str], bool]) -> Iterator[Member]:
    # as a stream, in the order of the archive: going back in a compressed tar means reading it again
    with tarfile.open(path, mode="r|*") as archive:
        allowed = _Allowance(path)
        for info in archive:
            _check_name(info.name, path)
            if not info.isreg() or not wanted(info.name):
                continue
            stream = archive.extractfile(info)
            assert stream is not None  # a regular file has one
            yield Member(info.name, _Measured(stream, path, allowed))


def _check_name(name: str, path: Path) -> None:
    parts = re.split(r"[/\\]", name)
    if name.startswith(("/", "\\")) or ".." in parts or re.match(r"[A-Za-z]:", name) or "\0" in name:
        raise DataError(
            f"the archive holds a path that leaves it: {name!r}",
            where=str(path),
            expected="paths inside the archive",
            advice="Do not use this archive; tell whoever publishes it.",
        )


class _Allowance:
    """How many bytes may be read out of an archive."""

    def __init__(self, path: Path) -> None:
        self.left = ALWAYS_ALLOWED_BYTES + LARGEST_GROWTH * path.stat().st_size


class _Measured(io.BufferedReader):
    """A stream that refuses to give more bytes than the archive is allowed."""

    def __init__(self, stream: IO[bytes], path: Path, allowed: _Allowance | None = None) -> None:
        super().__init__(_Counted(stream, path, allowed or _Allowance(path)), CHUNK_BYTES)


class _Counted(io.RawIOBase):
    def __init__(self, stream: IO[bytes], path: Path, allowed: _Allowance) -> None:
        self._stream, self._path, self._allowed = stream, path, allowed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview") -> int:  # type: ignore[override]
        try:
            block = self._stream.read(len(buffer))
        except _damage() as error:
            raise _damaged(self._path, error) from error
        self._allowed.left -= len(block)
        if self._allowed.left < 0:
            raise DataError(
                f"the archive grows to more than {LARGEST_GROWTH} times its size",
                where=str(self._path),
                expected="an archive of texts",
                advice="Do not use this archive; tell whoever publishes it.",
            )
        buffer[: len(block)] = block
        return len(block)


@contextmanager
def open_member(path: Path, name: str) -> Iterator[BinaryIO]:
    """The stream of the one member of this name; with no name, of the whole file.

    Raises:
        DataError: there is no such member.
    """
    with closing(members(path, lambda other: not name or other == name)) as found:
        member = next(found, None)
        if member is None:
            raise missing_member(path, name)
        yield member.stream


def missing_member(path: Path, name: str) -> DataError:
    """The error for an archive without a file that the card names."""
    return DataError(
        f"no file {name!r} in the archive",
        where=str(path),
        expected="the file that the dataset card names",
        advice="Check the languages: not every archive holds every pair.",
    )


@contextmanager
def as_file(stream: BinaryIO, suffix: str) -> Iterator[Path]:
    """A stream's bytes as a temporary file, for libraries that read nothing else."""
    with tempfile.TemporaryDirectory(prefix="mtkit-") as folder:
        path = Path(folder) / f"member{suffix}"
        with user_errors(path), path.open("wb") as out:
            while block := stream.read(CHUNK_BYTES):
                out.write(block)
        yield path


class Pattern:
    """A pattern of member names: `*` within a folder, `**` across folders, `{language}` the language.

    Args:
        pattern: as in a card.
        spelled: how the language is spelled there.
    """

    def __init__(self, pattern: str, spelled: str) -> None:
        pieces = re.split(r"(\*\*|\*|\{language\})", pattern)
        known = {"**": "(.*)", "*": "([^/]*)", "{language}": re.escape(spelled)}
        self._expression = re.compile("".join(known.get(piece, re.escape(piece)) for piece in pieces))

    def match(self, name: str) -> tuple[str, ...] | None:
        """What the stars stand for in this name, or None."""
        found = self._expression.fullmatch(name)
        return found.groups() if found else None
