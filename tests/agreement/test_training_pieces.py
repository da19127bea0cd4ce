"""A micro-batch in one piece and in several that fit in the memory: the same gradients, dropout included."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mtkit.batches.batch import Batch, Update, make_batch
from mtkit.config.model import ModelSettings
from mtkit.config.training import AdamW, FixedTrainSettings, Until
from mtkit.model.transformer import Transformer
from mtkit.model.workers import Workers
from mtkit.training import update
from mtkit.training.loss import LossSums, gradients
from mtkit.training.optimizer import Optimizer
from mtkit.training.update import Updater

SIZE = 23


def batches() -> Update:
    """Two micro-batches with padding on both sides."""
    draw = torch.Generator().manual_seed(3)

    def sentences(lengths: list[int]) -> list[list[int]]:
        return [torch.randint(4, SIZE, (length,), generator=draw).tolist() for length in lengths]

    made = [
        make_batch(sentences([3, 7, 5, 2, 7, 4, 6]), sentences([5, 2, 6, 6, 1, 3, 4]), range(7)),
        make_batch(sentences([2, 4, 3]), sentences([1, 3, 2]), range(7, 10)),
    ]
    return Update.whole(made)


def computed(
    changes: dict[str, Any], most_pairs: int, monkeypatch: pytest.MonkeyPatch, workers: int = 1
) -> tuple[LossSums, dict[str, Tensor], list[int]]:
    """Loss and gradients on a machine whose memory holds so many pairs, and in how many pieces."""

    def limited(model: Transformer, batch: Batch, tokens: int, smoothing: float) -> Any:
        if len(batch) > most_pairs:
            raise torch.OutOfMemoryError("made up")
        return gradients(model, batch, tokens, smoothing)

    monkeypatch.setattr(update, "gradients", limited)
    torch.manual_seed(5)
    shape = {"dim": 16, "ffn_dim": 24, "heads": 2, "encoder_layers": 2, "decoder_layers": 2, **changes}
    model = Transformer(ModelSettings.model_validate(shape), SIZE, SIZE).train()
    settings = FixedTrainSettings(until=Until(updates=9000), model=model.settings)
    with Workers(workers) as side_by_side:
        updater = Updater(model, Optimizer(model, AdamW()), settings, 1, side_by_side)
        sums = updater.gradients(batches(), 4)
    found = {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}
    return sums, found, sorted(split.pieces for split in updater.splits())


@pytest.mark.parametrize(
    "changes",
    [
        {"dropout": 0.3},
        {"dropout": 0.3, "attention_dropout": 0.2, "activation_dropout": 0.2, "norm_order": "post"},
        {"dropout": 0.1, "attention_dropout": 0.1, "kv_heads": 1, "activation": "swiglu", "norm": "rms_norm",
         "positions": {"kind": "rotary"}},
    ],
    ids=["plain", "dropout everywhere", "modern"],
)  # fmt: skip
@pytest.mark.parametrize(("most_pairs", "pieces"), [(4, [2]), (3, [3]), (1, [3, 7])])
def test_pieces_give_the_gradients_of_the_whole(
    changes: dict[str, Any], most_pairs: int, pieces: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole_sums, whole, none = computed(changes, 7, monkeypatch)
    sums, found, made = computed(changes, most_pairs, monkeypatch)
    assert (none, made) == ([], pieces)
    torch.testing.assert_close(sums, whole_sums)
    assert found.keys() == whole.keys()
    for name, gradient in whole.items():
        torch.testing.assert_close(found[name], gradient, msg=name)


def test_several_workers_make_the_same_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    _, one, _ = computed({"dropout": 0.3}, 2, monkeypatch)
    _, two, made = computed({"dropout": 0.3}, 2, monkeypatch, workers=2)
    assert made == [2, 4]
    assert all(torch.equal(two[name], gradient) for name, gradient in one.items())
