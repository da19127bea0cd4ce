"""What this machine lacks for an export is told before anything else is done."""

import sys

import pytest

from mtkit.config.export import ExportSettings
from mtkit.errors import RunError
from mtkit.export import needs
from mtkit.export.needs import check_needs


def test_what_is_there_is_not_told() -> None:
    check_needs(ExportSettings(to="safetensors"))
    check_needs(ExportSettings())


def test_every_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("onnx", "onnxruntime"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    with pytest.raises(RunError, match="no onnx, no onnxruntime") as told:
        check_needs(ExportSettings(to="onnx"))
    assert "pip install 'mtkit[onnx]'" in told.value.advice


def test_a_cpu_that_does_not_compute_so_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(needs, "uncomputable", lambda quantization: f"not in {quantization}")
    with pytest.raises(RunError, match="not in bfloat16"):
        check_needs(ExportSettings(quantization="bfloat16"))
