import subprocess
from pathlib import Path
from typing import Any

import pytest

from mtkit.corpus.fetch_sacrebleu import download_test_set
from mtkit.errors import RunError


def silent(_: str) -> None:
    pass


def pretend(monkeypatch: pytest.MonkeyPatch, returncode: int, out: bytes, said: bytes) -> list[list[str]]:
    seen: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        seen.append(command)
        options["stdout"].write(out)
        options["stdout"].flush()
        return subprocess.CompletedProcess(command, returncode, b"", said)

    monkeypatch.setattr(subprocess, "run", run)
    return seen


def test_one_side_of_a_test_set_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = pretend(monkeypatch, 0, b"one\ntwo\n", b"")
    download_test_set("wmt14", "en-de", "src", tmp_path / "out", silent)
    assert (tmp_path / "out").read_bytes() == b"one\ntwo\n"
    assert seen[0][1:] == [
        "-m",
        "sacrebleu",
        "--test-set",
        "wmt14",
        "--language-pair",
        "en-de",
        "--echo",
        "src",
    ]


@pytest.mark.parametrize(("returncode", "said"), [(1, b"Traceback\nURLError: no route"), (0, b"")])
def test_a_failure_says_what_sacrebleu_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, returncode: int, said: bytes
) -> None:
    pretend(monkeypatch, returncode, b"", said)
    with pytest.raises(RunError, match="no route" if said else "it wrote nothing"):
        download_test_set("wmt14", "en-de", "src", tmp_path / "out", silent)
