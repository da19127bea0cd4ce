"""Files: read plain, gz, xz and zst text strictly, write atomically, hash. No other module opens text.

A line ends at `\n` and nowhere else, so that U+2028, U+0085, `\r` or a form feed inside a line
can never shift the pairing of two sides.
"""

import errno
import hashlib
import importlib
import io
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path
from typing import Any, BinaryIO, cast

from mtkit.errors import DataError, MtkitError, RunError

BYTE_ORDER_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
NO_CHARACTER = re.compile("[\ud800-\udfff]")  # what `lenient_lines` makes of a byte that is no UTF-8
CHUNK_BYTES = 1 << 20
# The C library takes a freed block of 128 kB or more as a sign that such blocks come again, and keeps what a
# model's weights leave behind while they are loaded: tens of MB.
_HASHED_BYTES = 1 << 16
_COMPRESSIONS = {
    ".gz": "gzip",
    ".xz": "lzma",
    ".zst": "compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd",
}


@contextmanager
def user_errors(path: Path, *, makes: bool = False) -> Iterator[None]:
    """Turn the operating system's errors about `path` into errors that say what to do.

    Args:
        path: the file or folder.
        makes: the block makes it anew, so that what is not there is no file but a place for one.
    """
    try:
        yield
    except BrokenPipeError:  # whoever read it has gone, and the command ends
        raise
    except FileNotFoundError as error:
        if makes:
            raise RunError(
                "nothing can be written here",
                where=str(path),
                expected="a file system that takes new files",
                advice="Choose another place.",
            ) from error
        raise DataError(
            "no such file",
            where=str(path),
            expected="a file that exists",
            advice="Check the path; paths in a recipe start at the recipe's folder, others at the present"
            " folder.",
        ) from error
    except IsADirectoryError as error:
        raise DataError(
            "this is a directory",
            where=str(path),
            expected="a text file",
            advice="Name the file inside it that is meant.",
        ) from error
    except (NotADirectoryError, FileExistsError) as error:
        raise RunError(
            "a file stands where a folder is needed",
            where=str(path),
            expected="a folder on the way to this path, or room for one",
            advice="Move the file away, or choose another place.",
        ) from error
    except PermissionError as error:
        raise RunError(
            "permission denied",
            where=str(path),
            expected="a file that this user may read, or a folder that this user may write",
            advice="Change its permissions, or choose another place.",
        ) from error
    except OSError as error:
        raise told_by_system(error, str(path)) from error


def told_by_system(error: OSError, where: str) -> RunError:
    """The error for what the operating system refuses, other than a path that is wrong."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return no_space(where)
    if error.errno == errno.EROFS:
        return RunError(
            "this place may only be read",
            where=where,
            expected="a file system that may be written",
            advice="Choose another place, or mount it for writing.",
        )
    return RunError(
        f"the operating system says: {error.strerror or error}",
        where=where,
        expected="a file that can be read or written",
        advice="Mend the cause and run the same command again.",
    )


def no_space(where: str) -> RunError:
    """The error for a full disk."""
    return RunError(
        "no space left on the device",
        where=where,
        expected="room for what this command writes",
        advice="Free some space (`mtkit clean` lists what can go) and run the same command again:"
        " what a run has finished is kept.",
    )


def open_bytes(path: Path) -> BinaryIO:
    """Open a file for reading, decompressed by its ending (.gz, .xz, .zst)."""
    if path.suffix in _COMPRESSIONS:
        return cast(BinaryIO, _compression(path.suffix).open(path, "rb"))
    return path.open("rb")


def read_lines(path: Path, *, lenient: bool = False) -> Iterator[str]:
    """Stream the lines of a UTF-8 text, without their `\\n`; a byte order mark at the start is dropped.

    Args:
        path: the file, plain or compressed.
        lenient: True to decode as `lenient_lines` does.

    Raises:
        DataError: the file is missing, is a directory, is not valid UTF-8 (with line and byte
            offset) or is a damaged archive.
    """
    with reading_errors(path), open_bytes(path) as stream:
        yield from (lenient_lines if lenient else decode_lines)(stream, str(path))


@contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """As `user_errors`, of a file that may be compressed: one that is damaged is told, too."""
    with user_errors(path):
        try:
            yield
        except compression_errors() as error:
            raise _damaged(path, error) from error


def sample_lines(path: Path, most: int) -> Iterator[str]:
    """Lines from places spread evenly over a plain UTF-8 text; of a short one the same line may come twice.

    Args:
        path: the file.
        most: how many places.
    """
    with user_errors(path), path.open("rb") as stream:
        size = path.stat().st_size
        for number in range(most):
            stream.seek(size * number // most)
            if number:
                stream.readline()  # the rest of a line
            if line := stream.readline():
                yield line.decode("utf-8", "replace").rstrip("\n")


def zstd_module() -> Any:
    """The zstd module: of the standard library from Python 3.14, its backport before."""
    return _compression(".zst")


def _compression(suffix: str) -> Any:
    """The module that reads files of this ending; loaded where there is such a file."""
    return importlib.import_module(_COMPRESSIONS[suffix])


def compression_errors() -> tuple[type[Exception], ...]:
    """What reading a damaged gz, xz or zst file raises; what reads zst may be missing, and then does not."""
    gzip, lzma, zlib = map(importlib.import_module, ("gzip", "lzma", "zlib"))
    zstd = sys.modules.get(_COMPRESSIONS[".zst"])
    return (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error, *((zstd.ZstdError,) if zstd else ()))


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(
        f"the compressed file cannot be read to its end: {error}",
        where=str(path),
        expected="a complete archive of the kind its name says",
        advice="Fetch or compress it again.",
    )


def decode_lines(stream: Iterable[bytes], name: str) -> Iterator[str]:
    """Decode a stream of `\\n`-ended byte lines strictly; `name` is used in messages."""
    offset = 0
    for number, raw in enumerate(stream, start=1):
        line = raw[:-1] if raw.endswith(b"\n") else raw
        start = 0
        if number == 1 and line.startswith(BYTE_ORDER_MARK):
            start = len(BYTE_ORDER_MARK)
        try:
            yield line[start:].decode("utf-8")
        except UnicodeDecodeError as error:
            raise _not_utf8(line, start + error.start, offset, f"{name}:{number}") from error
        offset += len(raw)


def lenient_lines(stream: Iterable[bytes], name: str) -> Iterator[str]:
    """As `decode_lines`, but a byte that is not UTF-8 becomes a lone surrogate (U+DC80 to U+DCFF).

    Raises:
        DataError: the stream is UTF-16, by its mark; every line of it would be wrong.
    """
    for number, raw in enumerate(stream, start=1):
        line = raw[:-1] if raw.endswith(b"\n") else raw
        if number == 1 and line.startswith(UTF_16_MARKS):
            raise _not_utf8(line, 0, 0, f"{name}:1")
        if number == 1 and line.startswith(BYTE_ORDER_MARK):
            line = line[len(BYTE_ORDER_MARK) :]
        yield line.decode("utf-8", "surrogateescape")


def _not_utf8(line: bytes, at: int, offset: int, where: str) -> DataError:
    """The error for a line with a wrong byte at `at`; the line itself starts at `offset`."""
    utf_16 = offset == 0 and line.startswith(UTF_16_MARKS)
    return DataError(
        "this is UTF-16, not UTF-8"
        if utf_16
        else f"byte 0x{line[at]:02x} at offset {offset + at} is not valid UTF-8",
        where=where,
        expected="text in UTF-8",
        advice=f"Convert the text from what it is, for example with"
        f" `iconv -f {'utf-16' if utf_16 else 'latin1'} -t utf-8`.",
    )


def write_lines(path: Path, lines: Iterable[str]) -> int:
    """Write lines to a new file in one move; returns how many.

    Raises:
        DataError: a line holds a `\\n`, which would shift every line after it.
    """
    count = 0
    with atomic(path) as stream:
        for line in lines:
            if "\n" in line:
                raise DataError(
                    f"line {count + 1} to be written holds a line break: {line[:60]!r}",
                    where=str(path),
                    expected="one line of text",
                    advice="Replace line breaks inside a sentence by spaces.",
                )
            stream.write(line.encode("utf-8") + b"\n")
            count += 1
    return count


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary stream that becomes `path` in one move when the block ends well, and nothing otherwise."""
    with user_errors(path):
        with user_errors(path, makes=True):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".new", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
            Path(name).chmod(0o666 & ~_umask())
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def replace_folder(fresh: Path, folder: Path) -> None:
    """Move `fresh` to `folder`; what stands there steps aside first, so that one of the two stays whole."""
    if not os.path.lexists(folder):
        fresh.rename(folder)
        return
    old = fresh.with_suffix(".old")
    folder.rename(old)
    try:
        fresh.rename(folder)
    except OSError:
        old.rename(folder)
        raise
    old.unlink() if old.is_symlink() else shutil.rmtree(old)


def put_back(folder: Path) -> None:
    """Put back what stepped aside in `replace_folder` for one that was killed before it took the place."""
    aside = list(folder.parent.glob(f".{escape(folder.name)}.{'[!.]' * 8}.old"))  # as `mkdtemp` names them
    if not os.path.lexists(folder) and len(aside) == 1:
        aside[0].rename(folder)


def sync(path: Path) -> None:
    """Let a file, or the names in a folder, survive a power cut; some file systems do it of no folder."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL or not path.is_dir():  # as VirtualBox's and older SMB say
            raise
    finally:
        os.close(handle)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def write_text(path: Path, text: str) -> None:
    """Write a whole text in one move."""
    with atomic(path) as stream:
        stream.write(text.encode("utf-8"))


def read_text(path: Path) -> str:
    """Read a whole UTF-8 text, line ends as they are."""
    with user_errors(path):
        raw = path.read_bytes()
    return _decoded(raw, str(path))


def _decoded(raw: bytes, name: str) -> str:
    try:
        return raw.removeprefix(BYTE_ORDER_MARK).decode("utf-8")
    except UnicodeDecodeError:  # raised again with the line
        return "\n".join(decode_lines(io.BytesIO(raw), name))


def write_json(path: Path, value: Any) -> None:
    """Write JSON for people: sorted as given, indented, UTF-8, in one move."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=2) + "\n")


def read_json(path: Path, *, error: type[MtkitError] = DataError) -> Any:
    """Read a JSON file; a file that is not JSON, or not UTF-8, raises `error`, with its line."""
    with user_errors(path):
        raw = path.read_bytes()
    try:
        return json.loads(_decoded(raw, str(path)))
    except DataError as problem:  # not UTF-8
        found, where = problem.found, problem.where
    except json.JSONDecodeError as problem:
        found, where = f"not valid JSON: {problem.msg}", f"{path}:{problem.lineno}"
    advice = "Restore the file; if mtkit wrote it, delete its folder and run again."
    raise error(found, where=where, expected="a JSON document", advice=advice)


def read_versioned_json(path: Path, newest: int, *, error: type[MtkitError]) -> Any:
    """Read a JSON file that says by `format` which version of its layout it has.

    Args:
        newest: the newest version that is understood.

    Raises:
        error: as `read_json`, or the file is of a newer version.
    """
    value = read_json(path, error=error)
    version = value.get("format") if isinstance(value, dict) else None
    if isinstance(version, int) and version > newest:
        raise error(
            f"format {version} was written by a newer mtkit",
            where=str(path),
            expected=f"format {newest} or older",
            advice="Install a newer mtkit: `pip install --upgrade mtkit`.",
        )
    return value


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with user_errors(path), path.open("rb") as stream:
        while chunk := stream.read(_HASHED_BYTES):
            digest.update(chunk)
    return digest.hexdigest()


def canonical_hash(value: Any) -> str:
    """The SHA-256 of a JSON-like value, independent of the order of keys."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def shipped(kind: str) -> Path:
    """The folder of shipped `data` or `recipes`: inside the installed package, or beside it in a checkout."""
    package = Path(__file__).resolve().parent
    installed = package / "shipped" / kind
    return installed if installed.is_dir() else package.parent / kind
