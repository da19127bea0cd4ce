import pytest
import torch

from mtkit.batches.batch import Batch
from mtkit.config.model import ModelSettings
from mtkit.config.training import AdamW, Muon
from mtkit.config.training import Optimizer as OptimizerSettings
from mtkit.errors import ModelError
from mtkit.model.transformer import Transformer
from mtkit.training import loss
from mtkit.training.optimizer import Optimizer, layer_matrices, matrices

BOTH = [AdamW(), Muon()]


def backward(model: Transformer, batch: Batch, tokens: int, smoothing: float) -> loss.LossSums:
    sums, found = loss.gradients(model, batch, tokens, smoothing)
    loss.accumulate(model, found)
    return sums


def learn(model: Transformer, optimizer: Optimizer, batch: Batch, updates: int) -> None:
    for _ in range(updates):
        optimizer.zero_grad()
        backward(model, batch, batch.target_tokens, 0.1)
        optimizer.step(1.0, 1)


@pytest.mark.parametrize("settings", BOTH, ids=lambda settings: settings.kind)
def test_every_parameter_moves_and_the_loss_falls(
    model: Transformer, whole: Batch, settings: OptimizerSettings
) -> None:
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    first = backward(model, whole, whole.target_tokens, 0.0).nats
    learn(model, Optimizer(model, settings), whole, 20)
    assert backward(model, whole, whole.target_tokens, 0.0).nats < 0.8 * first
    for name, value in model.named_parameters():
        assert not torch.equal(value, before[name]), name


@pytest.mark.parametrize("settings", BOTH, ids=lambda settings: settings.kind)
def test_a_factor_of_zero_moves_nothing(
    model: Transformer, whole: Batch, settings: OptimizerSettings
) -> None:
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    backward(model, whole, 1, 0.0)
    Optimizer(model, settings).step(0.0, 1)
    assert all(torch.equal(value, before[name]) for name, value in model.named_parameters())


@pytest.mark.parametrize(
    "settings",
    [AdamW(weight_decay=0.5), Muon(weight_decay=0.5, adamw=AdamW(weight_decay=0.5))],
    ids=lambda settings: settings.kind,
)
def test_weight_decay_shrinks_matrices_only(model: Transformer, settings: OptimizerSettings) -> None:
    with torch.no_grad():
        for value in model.parameters():
            value.fill_(1.0)
            value.grad = torch.zeros_like(value)
    Optimizer(model, settings).step(1.0, 1)
    for name, value in model.named_parameters():
        assert bool((value < 1.0).all()) == (value.dim() == 2), name


def test_muon_gets_the_layers_matrices_and_nothing_else(model: Transformer) -> None:
    found = layer_matrices(model)
    inside = {name for name, value in model.named_parameters() if value.dim() == 2} - {
        "target_embedding.weight"
    }
    assert set(found) == inside
    for name, rows in found.items():
        assert sum(rows) == model.get_parameter(name).shape[0], name


def test_fused_maps_are_known_with_their_heights() -> None:
    settings = ModelSettings(
        dim=16, ffn_dim=24, heads=4, kv_heads=2, activation="swiglu", tied_embeddings="none",
        encoder_layers=1, decoder_layers=1,
    )  # fmt: skip
    found = layer_matrices(Transformer(settings, 11, 13))
    assert found["encoder.layers.0.self_attention.query_key_value.weight"] == [16, 8, 8]
    assert found["decoder.layers.0.cross_attention.key_value.weight"] == [8, 8]
    assert found["decoder.layers.0.feed_forward.up.weight"] == [24, 24]
    assert found["decoder.layers.0.feed_forward.down.weight"] == [16]
    assert not any("embedding" in name or "output" in name for name in found)


def test_matrices_are_all_parameters_with_two_dimensions(model: Transformer) -> None:
    assert {id(value) for value in matrices(model)} == {id(v) for v in model.parameters() if v.dim() == 2}


@pytest.mark.parametrize("settings", BOTH, ids=lambda settings: settings.kind)
def test_going_on_with_a_loaded_state_gives_the_same_bits(
    model: Transformer, whole: Batch, settings: OptimizerSettings
) -> None:
    optimizer = Optimizer(model, settings)
    learn(model, optimizer, whole, 3)
    state = {name: value.clone() for name, value in optimizer.state_dict().items()}
    weights = {name: value.detach().clone() for name, value in model.named_parameters()}
    learn(model, optimizer, whole, 2)
    expected = {name: value.detach().clone() for name, value in model.named_parameters()}
    model.load_state_dict(weights, strict=False)
    fresh = Optimizer(model, settings)
    fresh.load_state_dict(state)
    learn(model, fresh, whole, 2)
    assert all(torch.equal(value, expected[name]) for name, value in model.named_parameters())


def test_a_state_of_another_model_is_refused(model: Transformer) -> None:
    with pytest.raises(ModelError, match="fits no parameter"):
        Optimizer(model, AdamW()).load_state_dict({"target_embedding.weight/exp_avg": torch.zeros(2, 2)})
    with pytest.raises(ModelError, match="fits no parameter"):
        Optimizer(model, AdamW()).load_state_dict({"elsewhere/exp_avg": torch.zeros(2, 2)})


def test_a_momentum_that_warms_up_rises_from_its_beginning_to_its_end(model: Transformer) -> None:
    optimizer = Optimizer(model, Muon(momentum=0.95, momentum_warmup_updates=100))
    found = []
    for update in (1, 50, 100, 1000):
        optimizer.step(0.0, update)
        (momentum,) = {group["momentum"] for group in optimizer._parts[0].param_groups}
        found.append(momentum)
    assert found == pytest.approx([0.851, 0.9, 0.95, 0.95])
