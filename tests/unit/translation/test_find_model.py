from pathlib import Path

import pytest

from mtkit.errors import ModelError
from mtkit.files import write_json, write_text
from mtkit.translation.find_model import model_folder


@pytest.mark.parametrize("inside", ["", "model", "train/model"])
def test_a_model_folder_a_stage_and_a_run_are_all_understood(tmp_path: Path, inside: str) -> None:
    write_text(tmp_path / inside / "model.json", "{}")
    assert model_folder(tmp_path) == tmp_path / inside


def test_a_place_without_a_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no model here"):
        model_folder(tmp_path)
    with pytest.raises(ModelError, match="no such folder"):
        model_folder(tmp_path / "missing")


@pytest.mark.parametrize(
    ("to", "card", "told"),
    [
        ("onnx", "model.json", "this is an ONNX export, which onnxruntime runs"),
        ("huggingface", "config.json", "this is a Hugging Face export, which transformers runs"),
    ],
)
def test_an_export_for_another_program_is_told_as_such(tmp_path: Path, to: str, card: str, told: str) -> None:
    write_json(tmp_path / card, {"positions": 9})
    write_json(tmp_path / "certificate.json", {"format": 1, "to": to})
    with pytest.raises(ModelError, match=told) as caught:
        model_folder(tmp_path)
    assert caught.value.expected == "the model folder or the run that was exported"


@pytest.mark.parametrize("certificate", ['{"to": "safetensors"}', "[]", "{", '{"to": ["onnx"]}'])
def test_any_other_certificate_is_nobodys_business_here(tmp_path: Path, certificate: str) -> None:
    write_text(tmp_path / "model.json", "{}")
    write_text(tmp_path / "certificate.json", certificate)
    assert model_folder(tmp_path) == tmp_path


def test_the_converted_part_of_a_model_is_told_as_such(tmp_path: Path) -> None:
    write_text(tmp_path / "model.json", "{}")
    write_json(tmp_path / "ctranslate2" / "certificate.json", {})
    with pytest.raises(ModelError, match="the part of a model that CTranslate2 reads") as caught:
        model_folder(tmp_path / "ctranslate2")
    assert caught.value.advice == f"Name {tmp_path}."


def test_a_path_that_no_library_opens_is_told_before_one_tries(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no UTF-8"):
        model_folder(tmp_path / "model\udcff")
