"""The console script itself: its standard streams, closed or full."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = str(Path(__file__).parents[3])


def mtkit(redirection: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run mtkit with a shell's redirection of its streams."""
    command = f'exec "$0" -m mtkit "$@" {redirection}'
    return subprocess.run(
        ["sh", "-c", command, sys.executable, *arguments],
        env={**os.environ, "PYTHONPATH": PROJECT},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("arguments", [["--help"], ["recipe", "list"]])
def test_a_full_stdout_is_an_error_and_no_traceback(arguments: list[str]) -> None:
    result = mtkit(">/dev/full", *arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("error: a standard stream: no space left on the device\n")
    assert "Traceback" not in result.stderr


def test_with_stderr_closed_talk_does_not_go_to_stdout(tmp_path: Path) -> None:
    result = mtkit("2>&-", "run", str(tmp_path / "nowhere.yaml"))
    assert result.returncode == 2
    assert result.stdout == ""


def test_with_stdin_closed_there_is_nothing_to_read(tmp_path: Path) -> None:
    result = mtkit("<&-", "translate", "--model", str(tmp_path))
    assert result.returncode == 4
    assert "Traceback" not in result.stderr


def test_with_stdout_closed_data_goes_nowhere() -> None:
    assert mtkit(">&-", "recipe", "list").returncode == 0
