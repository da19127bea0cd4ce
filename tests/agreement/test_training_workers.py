"""One worker and several: the same bits."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from mtkit.batches.store import IdStore, write_ids
from mtkit.batches.stream import BatchStream
from mtkit.config.model import ModelSettings
from mtkit.config.training import AdamW, FixedTrainSettings, Muon, Optimizer, Until
from mtkit.model.transformer import Transformer
from mtkit.model.workers import Workers
from mtkit.subword.codec import Subword
from mtkit.training import optimizer
from mtkit.training.update import Updater


def weights(settings: FixedTrainSettings, store: IdStore, size: int, count: int) -> dict[str, Tensor]:
    torch.manual_seed(5)
    model = Transformer(settings.model, size, size)
    model.train()
    with Workers(count) as workers, BatchStream(store, settings, seed=1) as stream:
        made = optimizer.Optimizer(model, settings.optimizer, workers)
        updater = Updater(model, made, settings, 1, workers)
        for update in range(1, 7):
            batches = stream.next_update()
            assert len(batches) == settings.accumulate
            updater.step(batches, updater.gradients(batches, update), update, 1.0)
    return {name: value.detach() for name, value in model.named_parameters()}


@pytest.mark.parametrize("method", [AdamW(), Muon()], ids=lambda method: method.kind)
@pytest.mark.parametrize("tied", ["all", "none"])
def test_the_weights_do_not_depend_on_the_number_of_workers(
    toy: Path, tmp_path: Path, method: Optimizer, tied: str
) -> None:
    model = ModelSettings.model_validate(
        {
            "dim": 16, "ffn_dim": 32, "heads": 2, "encoder_layers": 1, "decoder_layers": 2, "dropout": 0.2,
            "attention_dropout": 0.1, "activation_dropout": 0.1, "tied_embeddings": tied,
        }
    )  # fmt: skip
    settings = FixedTrainSettings.model_validate(
        {"batch_tokens": 120, "accumulate": 3, "max_tokens": 20, "until": Until(updates=9000), "model": model,
         "optimizer": method}
    )  # fmt: skip
    subword = Subword.load(toy / "subword")
    write_ids(toy / "corpus", subword, tmp_path / "ids", settings.max_tokens)
    store = IdStore.open(tmp_path / "ids")
    one, three = (weights(settings, store, subword.size("target"), count) for count in (1, 3))
    for name, value in one.items():
        assert torch.equal(value, three[name]), name
