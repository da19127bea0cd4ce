"""`mtkit export onnx` and `mtkit export huggingface`, as a user meets them."""

import sys
from pathlib import Path

import click.testing
import pytest

from mtkit.cli.main import mtkit
from mtkit.errors import ModelError, RunError


def invoke(*arguments: str | Path) -> click.testing.Result:
    return click.testing.CliRunner().invoke(mtkit, [*map(str, arguments)])


def test_the_command_says_what_was_compared_and_where_it_lies(reversing_model: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="pip install 'mtkit[onnx]'")
    result = invoke("export", "onnx", reversing_model, tmp_path / "out")
    assert result.exit_code == 0, result.exception
    said = result.stderr.splitlines()
    assert said[0].startswith("no corpus of a run beside this model")
    assert said[1].startswith("onnx: encoder.onnx")
    assert "probe lines alike, token for token" in said[2] and said[3] == str(tmp_path / "out")
    again = invoke("export", "onnx", reversing_model, tmp_path)
    assert isinstance(again.exception, RunError) and "something stands here" in str(again.exception)
    translated = invoke("translate", "--model", tmp_path / "out")
    assert isinstance(translated.exception, ModelError) and "an ONNX export" in str(translated.exception)


@pytest.mark.parametrize(
    ("to", "lacking", "loaded"),
    [
        ("onnx", "onnxruntime", ["onnx_export", "onnx_model"]),
        ("huggingface", "transformers", ["huggingface_export"]),
    ],
)
def test_without_the_extra_the_message_says_what_to_install(
    reversing_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    to: str,
    lacking: str,
    loaded: list[str],
) -> None:
    monkeypatch.setitem(sys.modules, lacking, None)  # as if it were not installed
    for name in loaded:
        monkeypatch.delitem(sys.modules, f"mtkit.export.{name}", raising=False)
    result = invoke("export", to, reversing_model, tmp_path / "out")
    assert isinstance(result.exception, RunError)
    assert f"pip install 'mtkit[{to}]'" in str(result.exception)
    assert not (tmp_path / "out").exists()
