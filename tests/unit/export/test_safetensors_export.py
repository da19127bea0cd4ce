"""A model folder written anew is the model, without what other exports left in it."""

import shutil
from pathlib import Path

import pytest

from mtkit.config.export import ExportSettings
from mtkit.errors import ModelError, RunError
from mtkit.export.probe import corpus_lines, nasty_lines
from mtkit.export.proof import Proof
from mtkit.export.safetensors_export import export_safetensors
from mtkit.files import read_json
from mtkit.model.folder import check_folder


def export(model: Path, toy: Path, out: Path) -> Proof:
    lines = corpus_lines(toy / "corpus", 5) + nasty_lines()
    return export_safetensors(model, out, ExportSettings(to="safetensors"), lines, threads=1, say=print)


def test_the_folder_is_the_model_and_nothing_else(reversing_model: Path, toy: Path, tmp_path: Path) -> None:
    proof = export(reversing_model, toy, tmp_path / "out")
    assert proof.to == "safetensors" and proof.alike == sum(proof.probe.values()) == 10 + len(nasty_lines())
    assert not (tmp_path / "out" / "ctranslate2").exists()
    for name in proof.files:
        assert (tmp_path / "out" / name).read_bytes() == (reversing_model / name).read_bytes()
    assert read_json(tmp_path / "out" / "certificate.json")["weights"] == proof.weights
    check_folder(tmp_path / "out")


def test_a_damaged_model_is_refused_and_nothing_is_left(
    reversing_model: Path, toy: Path, tmp_path: Path
) -> None:
    shutil.copytree(reversing_model, tmp_path / "model")
    weights = tmp_path / "model" / "model.safetensors"
    found = bytearray(weights.read_bytes())
    found[-5] ^= 1
    weights.write_bytes(found)
    with pytest.raises(ModelError, match=r"model\.safetensors"):
        export(tmp_path / "model", toy, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_place_that_cannot_be_written_is_told_as_such(
    reversing_model: Path, toy: Path, unwritable: Path
) -> None:
    with pytest.raises(RunError, match="nothing can be written here") as caught:
        export(reversing_model, toy, unwritable)
    assert caught.value.where == str(unwritable)
