"""Public test sets through sacreBLEU's own downloader, in a process of its own."""

import subprocess
import sys
from pathlib import Path

from mtkit.corpus.cache import Say
from mtkit.errors import RunError


def download_test_set(test_set: str, direction: str, side: str, into: Path, say: Say) -> None:
    """Write one side of a test set to the file `into`.

    Args:
        test_set: sacreBLEU's name, e.g. `wmt14`.
        direction: e.g. `en-de`.
        side: `src` or `ref`.

    Raises:
        RunError: sacreBLEU cannot fetch it.
    """
    say(f"fetching {test_set} {direction} {side} with sacreBLEU")
    command = [sys.executable, "-m", "sacrebleu", "--test-set", test_set, "--language-pair", direction]
    with into.open("wb") as stream:
        done = subprocess.run(
            [*command, "--echo", side],
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.PIPE,
            check=False,
        )
    if done.returncode or not into.stat().st_size:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise RunError(
            f"sacreBLEU could not fetch the test set: {said[-1] if said else 'it wrote nothing'}",
            where=f"sacrebleu --test-set {test_set} --language-pair {direction}",
            expected="a network connection, and a test set that sacreBLEU knows (`sacrebleu --list`)",
            advice="Check both and run the same command again.",
        )
