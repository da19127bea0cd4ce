import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mtkit.config.model import LearnedPositions, ModelSettings
from mtkit.config.search import SearchSettings
from mtkit.errors import ModelError
from mtkit.model.folder import (
    CARD,
    FORMAT,
    OWN_HASH,
    WEIGHTS,
    ModelCard,
    check_folder,
    read_card,
    subword_folder,
    write_card,
)


def card(**changes: Any) -> ModelCard:
    values: dict[str, Any] = {
        "architecture": ModelSettings(dim=8, heads=2, positions=LearnedPositions(max=9)),
        "source_language": "de",
        "target_language": "en",
        "normalize": "nfkc",
        "source_size": 17,
        "target_size": 13,
        "decoding": SearchSettings(beam_size=3),
        "provenance": {"recipe": "tiny", "scores": [{"metric": "bleu", "value": 31.5}]},
    }
    return ModelCard(**{**values, **changes})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "subword").mkdir()
    (tmp_path / "subword" / "subword.json").write_text("{}\n")
    (tmp_path / WEIGHTS).write_bytes(bytes(range(200)))
    write_card(tmp_path, card())
    return tmp_path


def edit(folder: Path, **changes: Any) -> None:
    value = json.loads((folder / CARD).read_text())
    (folder / CARD).write_text(json.dumps({**value, **changes}))


def test_a_card_comes_back_as_it_was_written(folder: Path) -> None:
    read = check_folder(folder)
    assert read.model_copy(update={"files": {}}) == card()
    assert sorted(read.files) == [WEIGHTS, "subword/subword.json"]
    assert subword_folder(folder).is_dir()


def test_the_card_is_read_without_torch() -> None:
    code = "import sys, mtkit.model.folder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_flipped_bit_is_found(folder: Path) -> None:
    for name in (WEIGHTS, "subword/subword.json"):
        path = folder / name
        whole = path.read_bytes()
        path.write_bytes(bytes([whole[0] ^ 1]) + whole[1:])
        with pytest.raises(ModelError, match="not the one that was saved") as caught:
            check_folder(folder)
        assert caught.value.where == str(path)
        path.write_bytes(whole)
    check_folder(folder)


def test_a_cut_file_is_found(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(bytes(range(199)))
    with pytest.raises(ModelError, match="not the one that was saved"):
        check_folder(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    (folder / "subword" / "subword.json").unlink()
    with pytest.raises(ModelError, match="missing") as caught:
        check_folder(folder)
    assert caught.value.where.endswith("subword.json")


def test_weights_that_the_card_does_not_list_are_not_trusted(folder: Path) -> None:
    edit(folder, files={})
    with pytest.raises(ModelError, match="not the one that was saved"):
        check_folder(folder)


def test_no_file_outside_the_folder_is_looked_at(folder: Path) -> None:
    for name in ("../secret", "/etc/hostname"):
        (folder / CARD).write_text(json.dumps(card(files={name: "0"}).written()))
        with pytest.raises(ModelError, match="leaves the model folder"):
            check_folder(folder)


def test_a_card_that_was_changed_is_told(folder: Path) -> None:
    shape = json.loads((folder / CARD).read_text())["architecture"]
    edit(folder, architecture={**shape, "heads": 4})
    with pytest.raises(ModelError, match="the card is not the one that was saved") as caught:
        read_card(folder)
    assert caught.value.where == str(folder / CARD)
    edit(folder, architecture=shape)
    assert check_folder(folder).architecture.heads == 2


def test_a_card_of_before_there_was_a_hash_of_its_own_is_read(folder: Path) -> None:
    written = json.loads((folder / CARD).read_text())
    del written["provenance"][OWN_HASH]
    (folder / CARD).write_text(json.dumps(written))
    assert check_folder(folder).provenance == card().provenance


def test_the_hash_of_a_card_is_made_anew_with_what_it_says(folder: Path) -> None:
    changed = read_card(folder).model_copy(update={"target_language": "fr"})
    (folder / CARD).write_text(json.dumps(changed.written()))
    assert read_card(folder) == changed


def test_a_newer_format_asks_for_a_newer_program(folder: Path) -> None:
    edit(folder, format=FORMAT + 1, something_new=1)
    with pytest.raises(ModelError, match=f"format {FORMAT + 1}") as caught:
        read_card(folder)
    assert "Install a newer mtkit" in caught.value.advice


@pytest.mark.parametrize("value", [[], {}, {"format": 1}, {"format": "1"}, 3])
def test_json_that_is_no_card_is_a_model_error(folder: Path, value: object) -> None:
    (folder / CARD).write_text(json.dumps(value))
    with pytest.raises(ModelError, match="not a model card"):
        read_card(folder)


def test_text_that_is_no_json_is_a_model_error(folder: Path) -> None:
    (folder / CARD).write_text("{")
    with pytest.raises(ModelError, match="not valid JSON"):
        read_card(folder)


def test_a_setting_that_is_not_known_is_named(folder: Path) -> None:
    edit(folder, architecture={"dim": 8, "heads": 2, "widgets": 1})
    with pytest.raises(ModelError, match="widgets"):
        read_card(folder)


def test_a_folder_without_a_card_says_what_a_model_folder_is(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"no model\.json in this folder") as caught:
        read_card(tmp_path)
    assert WEIGHTS in caught.value.expected
    with pytest.raises(ModelError, match="no such folder"):
        read_card(tmp_path / "nowhere")


def test_a_card_that_lacks_fields_is_told_in_one_line(folder: Path) -> None:
    (folder / CARD).write_text(json.dumps({"format": 1, "architecture": {"heads": "two"}}))
    with pytest.raises(ModelError, match=r"missing or wrong: architecture\.heads, source_language") as caught:
        read_card(folder)
    assert "\n" not in caught.value.found
    assert "pydantic" not in caught.value.found
