import pytest
import torch

from mtkit.batches.batch import Update
from mtkit.config.model import ModelSettings
from mtkit.config.training import AdamW, FixedTrainSettings, Loss, Until
from mtkit.model.transformer import Transformer
from mtkit.training.optimizer import Optimizer
from mtkit.training.update import Updater, derived_seed


def updater(model: Transformer, seed: int = 1, **settings: object) -> Updater:
    made = FixedTrainSettings(until=Until(updates=10), model=model.settings, **settings)  # type: ignore[arg-type]
    return Updater(model, Optimizer(model, AdamW()), made, seed)


def dropping() -> Transformer:
    torch.manual_seed(5)
    settings = ModelSettings(dim=16, ffn_dim=24, heads=2, encoder_layers=1, decoder_layers=1, dropout=0.5)
    return Transformer(settings, 23, 23).train()


def test_seeds_differ_in_every_part() -> None:
    seeds = {derived_seed(1, "update", 2, 3), derived_seed(1, "update", 23), derived_seed(1, "update", 3, 2)}
    assert len(seeds | {derived_seed(2, "update", 2, 3), derived_seed(12, "update", 3)}) == 5
    assert derived_seed(1, "update", 2, 3) == derived_seed(1, "update", 2, 3)


def test_dropout_depends_on_seed_and_update_and_on_no_history(batches: Update) -> None:
    model = dropping()
    first = updater(model).gradients(batches, 4).nats
    torch.rand(17)
    assert torch.equal(updater(model).gradients(batches, 4).nats, first)
    assert not torch.equal(updater(model).gradients(batches, 5).nats, first)
    assert not torch.equal(updater(model, seed=2).gradients(batches, 4).nats, first)


def test_micro_batches_of_an_update_drop_differently(batches: Update) -> None:
    one = updater(dropping()).gradients(Update.whole([batches[1]]), 4).nats
    two = updater(dropping()).gradients(Update.whole([batches[1], batches[1]]), 4).nats
    assert two.item() != pytest.approx(2 * one.item(), rel=1e-3)


def test_computing_gradients_moves_no_weight(model: Transformer, batches: Update) -> None:
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    updater(model).gradients(batches, 1)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())


def test_the_gradient_is_clipped_and_its_norm_before_is_told(model: Transformer, batches: Update) -> None:
    clipped = updater(model, clip_norm=0.01)
    observed, _ = clipped.step(batches, clipped.gradients(batches, 1), 1, 0.0)
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
    assert norm.item() == pytest.approx(0.01, rel=1e-3)
    free = updater(model, clip_norm=None)
    again, _ = free.step(batches, free.gradients(batches, 1), 1, 0.0)
    assert observed.gradient_norm.item() == pytest.approx(again.gradient_norm.item())
    assert observed.gradient_norm.item() > 0.05


def test_the_objective_holds_the_penalties(model: Transformer, batches: Update) -> None:
    plain, fined = updater(model), updater(model, loss=Loss(l2=0.1))
    _, objective = plain.step(batches, plain.gradients(batches, 1), 1, 0.0)
    _, with_penalty = fined.step(batches, fined.gradients(batches, 1), 1, 0.0)
    squares = sum(float(p.detach().square().sum()) for p in model.parameters() if p.dim() == 2)
    assert with_penalty.item() - objective.item() == pytest.approx(0.05 * squares, rel=1e-3)


def test_bfloat16_gives_about_the_same_loss_and_float32_gradients(
    model: Transformer, batches: Update
) -> None:
    exact = updater(model).gradients(batches, 1).nats
    rough = updater(model, precision="bfloat16").gradients(batches, 1).nats
    assert rough.item() == pytest.approx(exact.item(), rel=0.02)
    assert rough.item() != exact.item()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())
