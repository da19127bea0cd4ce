from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from mtkit.config.model import ModelSettings
from mtkit.config.subword import SubwordSettings
from mtkit.errors import ModelError, RunError
from mtkit.files import write_lines
from mtkit.log import RunContext
from mtkit.model.folder import CARD, WEIGHTS, ModelCard, read_card
from mtkit.model.transformer import Transformer
from mtkit.model.weights import load_model, load_weights, save_model, save_weights
from mtkit.subword.learn import SubwordInputs, learn_subword

TINY = {"dim": 8, "heads": 2, "ffn_dim": 11, "encoder_layers": 1, "decoder_layers": 1}


def make(**changes: Any) -> tuple[Transformer, ModelCard]:
    settings = ModelSettings.model_validate({**TINY, **changes})
    model = Transformer(settings, 13, 13)
    card = ModelCard(
        architecture=settings,
        source_language="de",
        target_language="en",
        normalize="nfc",
        source_size=13,
        target_size=13,
    )
    return model, card


@pytest.fixture(scope="session")
def subword(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A subword stage's folder, with the record that the store keeps beside what the stage wrote."""
    folder = tmp_path_factory.mktemp("subword")
    for side in ("source", "target"):
        write_lines(folder / f"train.{side}", ["ab ba", "abba", "baab a b"])
    learnt = folder / "learnt"
    settings = SubwordSettings(pieces=8, byte_fallback=False)
    learn_subword(settings, SubwordInputs(folder), learnt, RunContext(quiet=True))
    (learnt / "stage.json").write_text("{}\n")
    return learnt


def test_a_saved_model_is_the_loaded_model_bit_for_bit(tmp_path: Path, subword: Path) -> None:
    for tied in ("none", "target", "all"):
        model, card = make(tied_embeddings=tied)
        save_model(tmp_path / "model", model, card, subword)
        loaded = load_model(tmp_path / "model")
        assert not loaded.training
        assert loaded.settings == model.settings
        names = [name for name, _ in model.named_parameters()]
        assert names == [name for name, _ in loaded.named_parameters()]
        assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.parameters(), strict=True))
        copied = {path.name: path.read_bytes() for path in (tmp_path / "model" / "subword").iterdir()}
        assert copied == {name: (subword / name).read_bytes() for name in ("subword.json", "shared.model")}


def test_tied_weights_are_saved_once(tmp_path: Path) -> None:
    model, _ = make(tied_embeddings="all")
    save_weights(tmp_path / WEIGHTS, model)
    tensors = safetensors.torch.load_file(tmp_path / WEIGHTS)
    assert sum(tensor.numel() for tensor in tensors.values()) == sum(p.numel() for p in model.parameters())


def test_saving_again_replaces_the_folder_and_leaves_nothing_beside_it(tmp_path: Path, subword: Path) -> None:
    first, card = make()
    second, _ = make()
    save_model(tmp_path / "here" / "model", first, card, subword)
    save_model(tmp_path / "here" / "model", second, card, subword)
    assert torch.equal(
        load_model(tmp_path / "here" / "model").target_embedding.weight, second.target_embedding.weight
    )
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["model"]


def test_a_save_that_fails_leaves_the_old_folder_whole(tmp_path: Path, subword: Path) -> None:
    model, card = make()
    save_model(tmp_path / "here" / "model", model, card, subword)
    with pytest.raises(ModelError, match="no subword vocabularies here"):
        save_model(tmp_path / "here" / "model", make()[0], card, tmp_path / "nowhere")
    assert torch.equal(
        load_model(tmp_path / "here" / "model").target_embedding.weight, model.target_embedding.weight
    )
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["model"]


def test_the_same_model_is_saved_as_the_same_bytes(tmp_path: Path, subword: Path) -> None:
    model, card = make()
    for name in ("one", "two"):
        save_model(tmp_path / name, model, card, subword)
    assert (tmp_path / "one" / WEIGHTS).read_bytes() == (tmp_path / "two" / WEIGHTS).read_bytes()
    assert (tmp_path / "one" / CARD).read_bytes() == (tmp_path / "two" / CARD).read_bytes()


def test_a_card_of_another_model_is_not_saved(tmp_path: Path, subword: Path) -> None:
    model, _ = make()
    with pytest.raises(ModelError, match="another model"):
        save_model(tmp_path / "model", model, make(dim=16)[1], subword)
    assert not (tmp_path / "model").exists()


def test_a_damaged_weights_file_is_found_before_it_is_used(tmp_path: Path, subword: Path) -> None:
    model, card = make()
    save_model(tmp_path / "model", model, card, subword)
    path = tmp_path / "model" / WEIGHTS
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(ModelError, match="not the one that was saved"):
        load_model(tmp_path / "model")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tied_embeddings": "none"}, "no weight 'output_layer.weight'"),
        ({"bias": False}, "a weight 'decoder.layers.0.cross_attention.key_value.bias'"),
        ({"ffn_dim": 12}, r"of shape \(8, 11\), wanted \(8, 12\)"),
    ],
)
def test_weights_of_another_architecture_are_refused(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    save_weights(tmp_path / WEIGHTS, make()[0])
    with pytest.raises(ModelError, match=message):
        load_weights(tmp_path / WEIGHTS, make(**changes)[0])


def test_a_file_that_holds_no_weights_is_refused(tmp_path: Path) -> None:
    (tmp_path / WEIGHTS).write_bytes(b"not weights at all")
    with pytest.raises(ModelError, match="not a weights file"):
        load_weights(tmp_path / WEIGHTS, make()[0])


def test_the_folder_can_be_moved(tmp_path: Path, subword: Path) -> None:
    model, card = make()
    save_model(tmp_path / "a" / "model", model, card, subword)
    (tmp_path / "a").rename(tmp_path / "b")
    load_model(tmp_path / "b" / "model")
    assert read_card(tmp_path / "b" / "model").target_language == "en"


def test_a_place_that_takes_no_files_is_told_as_such(subword: Path, unwritable: Path) -> None:
    model, card = make()
    with pytest.raises(RunError, match="nothing can be written here"):
        save_model(unwritable, model, card, subword)
