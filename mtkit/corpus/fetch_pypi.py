"""One wheel from the package index, with pip in a process of its own; nothing of it is installed or run."""

import subprocess
import sys
from pathlib import Path

from mtkit.config.dataset import PypiSource
from mtkit.corpus.cache import Say
from mtkit.errors import DataError, RunError
from mtkit.files import no_space

# what pip says when it could not reach an index (its words since pip 20)
NO_NETWORK = (
    "NewConnectionError",
    "ConnectTimeoutError",
    "ReadTimeoutError",
    "NameResolutionError",
    "ProxyError",
    "Temporary failure in name resolution",
    "Network is unreachable",
    "Connection refused",
    "Could not fetch URL",
)


def download_command(source: PypiSource, folder: Path) -> list[str]:
    """pip's command line: wheels only, because building a source package would run its code."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--no-input", "--no-cache-dir", "--quiet"]
    if source.python:
        command += ["--python-version", source.python]
    return [*command, "--dest", str(folder), f"{source.package}=={source.version}"]


def download_wheel(source: PypiSource, into: Path, say: Say) -> None:
    """Download the wheel of a card to the file `into`.

    Raises:
        RunError: pip is missing, the index cannot be reached, or the disk is full.
        DataError: the index has no such wheel.
    """
    say(f"fetching {source.package}=={source.version} with pip; nothing of it is installed or run")
    folder = into.parent / "pip"
    folder.mkdir()
    done = subprocess.run(
        download_command(source, folder),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    wheel = folder / source.filename
    if done.returncode == 0 and wheel.is_file():
        wheel.replace(into)
        return
    raise _failure(source, done.stderr, sorted(path.name for path in folder.iterdir()))


def _failure(source: PypiSource, said: str, arrived: list[str]) -> DataError | RunError:
    where = f"pip download {source.package}=={source.version}"
    last = [line.strip() for line in said.splitlines() if line.strip()][-3:]
    quoted = " / ".join(last) or f"pip brought {', '.join(arrived) or 'nothing'}"
    if "No module named pip" in said:
        return RunError(
            f"this Python has no pip: {sys.executable}",
            where=where,
            expected="pip, which fetches datasets from the package index",
            advice=f"Install it with `{sys.executable} -m ensurepip`, then run the command again.",
        )
    if "No space left" in said:
        return no_space(where)
    if any(sign in said for sign in NO_NETWORK):
        return RunError(
            f"the package index cannot be reached: {quoted}",
            where=where,
            expected="a network connection, or an index that pip is configured for",
            advice="Check the connection and pip's settings (`pip config list`), then run the command again;"
            " on a machine without a network, copy the cache folder from one that has it (MTKIT_CACHE).",
        )
    return DataError(
        f"pip could not fetch the dataset: {quoted}",
        where=where,
        expected=f"the wheel {source.filename}",
        advice="Check that the package index offers this version (`pip index versions"
        f" {source.package}`); a mirror may lack it.",
    )
