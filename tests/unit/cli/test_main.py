"""The console script itself: its standard streams, closed or full."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mtkit.cli.main import main

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


@pytest.mark.parametrize(
    ("module", "package"),
    [
        *(("torch", "torch"), ("ctranslate2", "ctranslate2"), ("yaml", "pyyaml")),
        ("backports.zstd", "backports.zstd"),
    ],
)
def test_a_package_that_is_left_out_is_named(
    module: str, package: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mtkit.cli.main.mtkit", lambda **_: importlib.import_module(module))
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 1
    told = capsys.readouterr().err
    assert told.startswith(f"error: this Python: this needs {package}, which is not installed\n")
    assert f"Next: Install it (`pip install {package}`)" in told


def test_a_module_of_our_own_that_is_missing_is_no_mistake_of_the_user(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mtkit.cli.main.mtkit", lambda **_: importlib.import_module("mtkit.none"))
    with pytest.raises(ModuleNotFoundError):
        main()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize("arguments", [["--help"], ["recipe", "list"]])
def test_a_full_stdout_is_an_error_and_no_traceback(arguments: list[str]) -> None:
    result = mtkit(">/dev/full", *arguments)
    assert result.returncode == 1
    assert result.stderr.startswith("error: a standard stream: no space left on the device\n")
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("arguments", [["recipe", "check"], ["recipe", "show"], ["no-such-verb"]])
def test_a_reader_of_stderr_that_has_gone_changes_no_exit_code(arguments: list[str], tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "mtkit", *arguments, str(tmp_path / "nowhere.yaml")]
    environment = {**os.environ, "PYTHONPATH": PROJECT}
    result = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=write, check=False)
    os.close(write)
    assert (result.returncode, result.stdout) == (2, b"")


def test_with_stderr_closed_talk_does_not_go_to_stdout(tmp_path: Path) -> None:
    result = mtkit("2>&-", "run", str(tmp_path / "nowhere.yaml"))
    assert result.returncode == 2
    assert result.stdout == ""


def test_with_stdin_closed_there_is_nothing_to_read(tmp_path: Path) -> None:
    result = mtkit("<&-", "translate", "--model", str(tmp_path))
    assert result.returncode == 4
    assert "Traceback" not in result.stderr


def test_with_stdout_closed_a_list_goes_nowhere_and_no_translation_does(reversing_model: Path) -> None:
    assert mtkit(">&-", "recipe", "list").returncode == 0
    translate = ("translate", "--model", str(reversing_model), "--input", __file__)
    refused = mtkit(">&-", *translate)
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: stdout: it is closed, and translations would go nowhere\n")
    assert mtkit(">/dev/null", *translate, "--quiet").returncode == 0
