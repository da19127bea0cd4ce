import pytest
import torch
from torch.nn import functional as F

from mtkit.batches.batch import Batch
from mtkit.config.model import ModelSettings
from mtkit.model.transformer import Transformer
from mtkit.model.workers import Workers
from mtkit.training import validation
from mtkit.training.loss import LossSums, measure
from mtkit.training.pieces import Split
from mtkit.training.validation import validation_loss


def test_the_loss_is_the_mean_over_all_tokens_of_all_batches(
    model: Transformer, batches: list[Batch], whole: Batch
) -> None:
    logits = model(whole.source, whole.source_is_token, whole.target_in)
    real = whole.target_is_token
    expected = F.cross_entropy(logits[real], whole.target_out[real]).item()
    assert validation_loss(model, batches) == pytest.approx(expected, rel=1e-5)


def test_nothing_is_dropped_and_the_mode_is_restored(batches: list[Batch]) -> None:
    torch.manual_seed(1)
    settings = ModelSettings(dim=16, ffn_dim=24, heads=2, encoder_layers=1, decoder_layers=1, dropout=0.5)
    model = Transformer(settings, 23, 23).train()
    assert validation_loss(model, batches) == validation_loss(model, batches)
    assert model.training
    model.eval()
    validation_loss(model, batches)
    assert not model.training


def test_batches_that_do_not_fit_are_measured_in_pieces_and_told_of(
    model: Transformer, batches: list[Batch], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, told = validation_loss(model, batches), list[Split]()

    def limited(model: Transformer, batch: Batch) -> LossSums:
        if len(batch) > 1:
            raise torch.OutOfMemoryError("made up")
        return measure(model, batch)

    monkeypatch.setattr(validation, "measure", limited)
    with Workers(2) as workers:
        found = validation_loss(model, batches, workers, tell=told.append)
    assert found == pytest.approx(whole, rel=1e-6)
    assert [(split.pairs, split.pieces) for split in told] == [(2, 2), (3, 3)]


def test_the_loss_has_the_same_bits_on_any_number_of_workers(
    model: Transformer, batches: list[Batch]
) -> None:
    alone = validation_loss(model, batches)
    for count in (2, 3):
        with Workers(count) as workers:
            assert validation_loss(model, batches, workers) == alone
