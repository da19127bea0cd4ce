from pathlib import Path

import pytest

from mtkit.errors import ModelError
from mtkit.files import write_text
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
