import subprocess
import sys
from pathlib import Path

import pytest

from mtkit.config.dataset import PypiSource
from mtkit.corpus.fetch_pypi import download_command, download_wheel
from mtkit.errors import DataError, MtkitError, RunError

SOURCE = PypiSource(
    package="thing", version="1.0", filename="thing-1.0-py3-none-any.whl", sha256="0" * 64, python="3.14.2"
)


def silent(_: str) -> None:
    pass


def pretend(monkeypatch: pytest.MonkeyPatch, returncode: int, said: str, brings: str = "") -> list[list[str]]:
    seen: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        seen.append(command)
        if brings:
            (Path(command[command.index("--dest") + 1]) / brings).write_bytes(b"wheel")
        return subprocess.CompletedProcess(command, returncode, "", said)

    monkeypatch.setattr(subprocess, "run", run)
    return seen


def test_pip_may_bring_wheels_only_and_no_dependencies() -> None:
    command = download_command(SOURCE, Path("folder"))
    assert command[:3] == [sys.executable, "-m", "pip"]
    assert {"--no-deps", "--only-binary=:all:"} <= set(command)
    assert command[command.index("--python-version") + 1] == "3.14.2"
    assert command[-1] == "thing==1.0"


def test_the_wheel_lands_where_it_is_wanted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 0, "", SOURCE.filename)
    download_wheel(SOURCE, tmp_path / "x.whl", silent)
    assert (tmp_path / "x.whl").read_bytes() == b"wheel"


@pytest.mark.parametrize(
    ("said", "kind", "words"),
    [
        (
            "WARNING: Retrying ... NewConnectionError(...)\nERROR: No matching distribution",
            RunError,
            "cannot be reached",
        ),
        ("/usr/bin/python: No module named pip", RunError, "has no pip"),
        ("ERROR: No matching distribution found for thing==1.0", DataError, "could not fetch"),
        ("OSError: No space left on device", RunError, "no space left"),
    ],
)
def test_each_way_pip_fails_is_told_apart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, kind: type[MtkitError], words: str
) -> None:
    pretend(monkeypatch, 1, said)
    with pytest.raises(kind, match=words) as caught:
        download_wheel(SOURCE, tmp_path / "x.whl", silent)
    assert caught.value.advice


def test_another_file_than_the_wheel_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 0, "", "thing-1.0-other.whl")
    with pytest.raises(DataError, match=r"pip brought thing-1\.0-other\.whl"):
        download_wheel(SOURCE, tmp_path / "x.whl", silent)
