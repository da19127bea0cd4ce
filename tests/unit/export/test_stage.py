"""The export stage writes whatever format the recipe names, and the report says so."""

import json
import shutil
from pathlib import Path

import pytest

from mtkit.config.export import ExportSettings
from mtkit.export.stage import ExportInputs, export_model
from mtkit.log import RunContext
from mtkit.report.sections import export_section


@pytest.fixture
def inputs(reversing_model: Path, toy: Path, tmp_path: Path) -> ExportInputs:
    shutil.copytree(reversing_model, tmp_path / "train" / "model")
    return ExportInputs(train=tmp_path / "train", corpus=toy / "corpus")


def test_a_model_folder_of_its_own_is_reported_with_what_was_compared(
    inputs: ExportInputs, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    settings = ExportSettings(to="safetensors", probe_lines=5)
    export_model(settings, inputs, tmp_path / "out", RunContext(quiet=True))
    certificate = json.loads((tmp_path / "out" / "safetensors" / "certificate.json").read_text())
    assert certificate["to"] == "safetensors" and certificate["alike"] == sum(certificate["probe"].values())
    said = "\n".join(export_section("model", tmp_path / "out"))
    assert f"For safetensors in float32: {certificate['alike']:,} of {certificate['alike']:,} lines" in said


def test_onnx_in_eight_bits_is_reported_beside_torch(inputs: ExportInputs, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="pip install 'mtkit[onnx]'")
    (tmp_path / "out").mkdir()
    settings = ExportSettings(
        to="onnx", quantization="int8", probe_lines=5, most_bleu_loss=100, most_chrf_loss=100
    )
    export_model(settings, inputs, tmp_path / "out", RunContext(quiet=True))
    said = "\n".join(export_section("model", tmp_path / "out"))
    assert "For ONNX in int8" in said and "| metric | torch | ONNX |" in said


def test_a_shortlist_is_learnt_from_the_corpus_and_reported(inputs: ExportInputs, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    settings = ExportSettings(shortlist=6, probe_lines=5, most_bleu_loss=100, most_chrf_loss=100)
    export_model(settings, inputs, tmp_path / "out", RunContext(quiet=True))
    said = "\n".join(export_section("model", tmp_path / "out"))
    assert "With the shortlist of 6 pieces" in said
