"""One file from a public address, with progress, resumed where an earlier try broke off."""

import errno
import http.client
import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from mtkit import __version__
from mtkit.corpus.cache import Say, cache_folder
from mtkit.errors import DataError, RunError
from mtkit.files import CHUNK_BYTES, canonical_hash, no_space, user_errors
from mtkit.log import Progress

SECONDS = 60.0  # without a byte until a connection counts as dead
TRIES = 3


def download_url(url: str, into: Path, say: Say) -> None:
    """Download to the file `into`; what came of a broken try lies in the cache and is gone on with.

    Raises:
        DataError: the address has nothing (HTTP 4xx).
        RunError: no network, the server fails, or the disk is full.
    """
    say(f"fetching {url}")
    part = cache_folder() / "partial" / canonical_hash(url)[:32]
    with user_errors(part):
        part.parent.mkdir(parents=True, exist_ok=True)
    for left in reversed(range(TRIES)):
        try:
            _go_on(url, part)
            break
        except urllib.error.HTTPError as error:
            error.close()  # it is the server's answer, too, and holds the connection
            if error.code == 416:  # what lies there does not fit what is offered now
                part.unlink(missing_ok=True)
            if (error.code < 500 and error.code != 416) or not left:
                raise _refused(url, error) from error
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) == errno.ENOSPC:
                raise no_space(str(part)) from error
            if not left:
                raise _no_network(url, error) from error
    with user_errors(into):
        part.replace(into)
        _mark_of(part).unlink(missing_ok=True)


def _mark_of(part: Path) -> Path:
    """Beside a partial file: which version of the file it is a part of."""
    return part.with_suffix(".json")


def _go_on(url: str, part: Path) -> None:
    have = part.stat().st_size if part.exists() else 0
    request = urllib.request.Request(url, headers={"User-Agent": f"mtkit/{__version__}"})
    mark = _mark_of(part)
    version = json.loads(mark.read_text("utf-8"))["version"] if have and mark.exists() else ""
    if have and version:
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", version)
    with urllib.request.urlopen(request, timeout=SECONDS) as response:
        resumed = response.status == 206
        have = have if resumed else 0
        version = response.headers.get("ETag") or response.headers.get("Last-Modified") or ""
        if version.startswith("W/"):  # a weak mark cannot prove that bytes are the same
            version = ""
        if not resumed:
            part.unlink(missing_ok=True)  # before it is noted that what lies there is of this version
        mark.write_text(json.dumps({"url": url, "version": version}), "utf-8")
        length = response.headers.get("Content-Length")
        total = have + int(length) if length else None
        have = _copy(response, part, have, total)
    if total is not None and have < total:
        raise http.client.IncompleteRead(b"", total - have)


def _copy(response: Any, part: Path, have: int, total: int | None) -> int:
    with (
        part.open("ab" if have else "wb") as stream,
        Progress("fetching", _megabytes(total), "MB", done=_megabytes(have) or 0) as progress,
    ):
        while block := response.read(CHUNK_BYTES):
            stream.write(block)
            have += len(block)
            progress.advance((_megabytes(have) or 0) - progress.done)
    return have


def _megabytes(count: int | None) -> int | None:
    return None if count is None else count // 1_000_000


def _refused(url: str, error: urllib.error.HTTPError) -> DataError | RunError:
    kind = DataError if error.code < 500 else RunError
    return kind(
        f"the server answers {error.code} {error.reason}",
        where=url,
        expected="the file that the dataset card names",
        advice="Open the address in a browser: it may have moved, or the corpus may lack these languages."
        if error.code < 500
        else "Try again later.",
    )


def _no_network(url: str, error: Exception) -> RunError:
    reason = getattr(error, "reason", None) or error
    return RunError(
        f"the address cannot be fetched: {reason}",
        where=url,
        expected="a network connection to this address",
        advice="Check the connection and run the same command again: it goes on where it broke off."
        " Datasets without the mark `network` in `mtkit data list` need only the package index.",
    )
