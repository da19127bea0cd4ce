from typing import Any, get_args

import pytest

from mtkit.config.export import EXPRESSIBLE, ExportSettings, inexpressible
from mtkit.config.model import ModelSettings
from mtkit.config.rules import Field
from mtkit.config.subword import SubwordSettings
from mtkit.config.training import TrainSettings
from mtkit.export.specification import ACTIVATIONS

TRAIN = TrainSettings.model_validate({"until": {"updates": 1}})


class Newer(ModelSettings):
    gates: bool = Field(default=False, description="something that no specification knows")


def test_every_architecture_of_today_can_be_expressed() -> None:
    known = {name: set(words or ()) for name, words in EXPRESSIBLE.items()}
    assert set(ModelSettings.model_fields) == set(EXPRESSIBLE)
    for name in ("norm", "norm_order", "activation", "tied_embeddings"):
        assert set(get_args(ModelSettings.model_fields[name].annotation)) == known[name]
    assert set(ACTIVATIONS) == known["activation"]


@pytest.mark.parametrize("kind", ["sinusoidal", "learned", "rotary"])
def test_every_kind_of_positions_can_be_expressed(kind: str) -> None:
    assert inexpressible(ModelSettings.model_validate({"positions": {"kind": kind}})) == []


def test_what_is_new_and_used_is_named_and_what_is_new_and_off_is_not() -> None:
    assert inexpressible(Newer()) == []
    assert inexpressible(Newer(gates=True)) == ["CTranslate2 has no `gates`, which is True in this model"]
    odd = ModelSettings().model_copy(update={"activation": "sine"})
    assert inexpressible(odd) == ["CTranslate2 has no `activation: sine`"]


def test_an_export_stage_says_so_before_anything_is_trained() -> None:
    model = ModelSettings().model_copy(update={"activation": "sine"})
    train = TRAIN.model_copy(update={"model": model})
    [finding] = ExportSettings().findings_beside({"train": train})
    assert finding.found == "CTranslate2 has no `activation: sine`"
    assert list(ExportSettings().findings_beside({"train": TRAIN})) == []


def test_a_shortlist_of_the_whole_vocabulary_is_told_before_anything_is_trained() -> None:
    subword = SubwordSettings(pieces=700)
    for shortlist, paths in ((699, []), (700, [("shortlist",)]), (10_000, [("shortlist",)])):
        found = ExportSettings(shortlist=shortlist).findings_beside({"subword": subword})
        assert [finding.path for finding in found] == paths


@pytest.mark.parametrize(
    ("settings", "found"),
    [
        ({"most_bleu_loss": 1.0}, ["most_bleu_loss"]),
        ({"quantization": "float32", "most_chrf_loss": 1.0}, ["most_chrf_loss"]),
        ({"quantization": "int8", "most_bleu_loss": 1.0, "most_chrf_loss": 1.0}, []),
        ({"shortlist": 20, "most_bleu_loss": 1.0, "most_chrf_loss": 1.0}, []),
        ({"to": "onnx", "shortlist": 20}, ["shortlist"]),
    ],
)
def test_a_budget_without_rounding_has_no_effect(settings: dict[str, Any], found: list[str]) -> None:
    assert [finding.path[0] for finding in ExportSettings(**settings).findings()] == found
