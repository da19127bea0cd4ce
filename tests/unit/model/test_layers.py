import pytest
import torch
from torch.nn import functional as F

from mtkit.config.model import ModelSettings
from mtkit.model.layers import DecoderLayer, EncoderLayer, FeedForward, RMSNorm, make_norm

B, S, T, D = 2, 5, 3, 8


def test_rms_norm_is_the_formula() -> None:
    norm, states = RMSNorm(D), torch.randn(B, S, D)
    torch.nn.init.normal_(norm.weight)
    wanted = states / (states.square().mean(-1, keepdim=True) + 1e-6).sqrt() * norm.weight
    torch.testing.assert_close(norm(states), wanted)


def test_layer_norm_is_the_formula() -> None:
    norm, states = make_norm(ModelSettings(dim=D)), torch.randn(B, S, D)
    centred = states - states.mean(-1, keepdim=True)
    torch.testing.assert_close(
        norm(states), centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()
    )


def test_swiglu_multiplies_a_gate() -> None:
    block, states = FeedForward(ModelSettings(dim=D, ffn_dim=11, activation="swiglu")), torch.randn(B, S, D)
    gate, up = block.up(states)[..., :11], block.up(states)[..., 11:]
    torch.testing.assert_close(block(states), block.down(gate * torch.sigmoid(gate) * up))


@pytest.mark.parametrize("name", ["relu", "gelu"])
def test_plain_activations_are_the_formula(name: str) -> None:
    settings = ModelSettings.model_validate({"dim": D, "ffn_dim": 11, "activation": name})
    block, states = FeedForward(settings), torch.randn(B, S, D)
    inner = block.up(states)
    active = inner.clamp(min=0) if name == "relu" else inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
    torch.testing.assert_close(block(states), block.down(active))


def test_pre_norm_adds_blocks_of_normed_states() -> None:
    layer = EncoderLayer(ModelSettings(dim=D, ffn_dim=11, heads=2, dropout=0.0))
    states = torch.randn(B, S, D)
    middle = states + layer.self_attention(F.layer_norm(states, (D,)))
    torch.testing.assert_close(layer(states, None), middle + layer.feed_forward(F.layer_norm(middle, (D,))))


def test_post_norm_norms_each_sum() -> None:
    layer = DecoderLayer(ModelSettings(dim=D, ffn_dim=11, heads=2, dropout=0.0, norm_order="post"))
    states, memory = torch.randn(B, T, D), torch.randn(B, S, D)
    keys_values = layer.cross_attention.keys_values(memory)
    wanted = F.layer_norm(states + layer.self_attention(states), (D,))
    wanted = F.layer_norm(wanted + layer.cross_attention(wanted, keys_values), (D,))
    wanted = F.layer_norm(wanted + layer.feed_forward(wanted), (D,))
    torch.testing.assert_close(layer(states, memory, None), wanted)


@pytest.mark.parametrize("which", ["dropout", "attention_dropout", "activation_dropout"])
def test_each_dropout_acts_in_training_only(which: str) -> None:
    settings = {"dropout": 0.0, "dim": D, "ffn_dim": 11, "heads": 2, which: 0.5}
    layer, states = EncoderLayer(ModelSettings.model_validate(settings)), torch.randn(B, S, D)
    assert not torch.equal(layer(states, None), layer(states, None))
    layer.eval()
    assert torch.equal(layer(states, None), layer(states, None))
